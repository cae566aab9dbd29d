package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/pages"
	"github.com/reflex-dev/reflex-orm/tests/pgtest"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// site is where `make docs`'s pages are published.
const site = "https://reflex-dev.github.io/reflex-orm/"

// What is said in several places is the same in all of them.
func TestDocuments(t *testing.T) {
	read := func(file string) string { return pages.Read(t, file) }
	if license := read("LICENSE"); license != read("pyshim/LICENSE") || !strings.Contains(license, "Apache License") {
		t.Error("LICENSE is not the wheel's")
	}
	oldest := regexp.MustCompile(`requires-python = ">=(.*)"`).FindStringSubmatch(read("pyshim/pyproject.toml"))[1]
	for file, sentence := range map[string]string{
		"README.md":        "CPython " + oldest + " to ",
		"docs/install.md":  "CPython " + oldest + " to ",
		"embedpy/probe.go": `const oldest = "` + oldest + `"`,
		"embedpy/doc.go":   "Python " + oldest + " to ",
	} {
		if !strings.Contains(read(file), sentence) {
			t.Errorf("%s does not say %q", file, sentence)
		}
	}
	// The framework owns the script reflex where these readers are.
	_, fromReflex, _ := strings.Cut(read("docs/coming-from.md"), "## Reflex's `rx.Model`")
	fromReflex, _, _ = strings.Cut(fromReflex, "\n## ")
	if strings.Contains(fromReflex, "reflex db") || !strings.Contains(fromReflex, "reflex-db") {
		t.Errorf("readers who come from Reflex are told of reflex db: %s", fromReflex)
	}
	for _, word := range []string{"License", "Changelog", "Repository", "Documentation"} {
		if !strings.Contains(strings.ToLower(read("pyshim/pyproject.toml")), strings.ToLower(word)) {
			t.Errorf("the wheel's metadata has no %s", word)
		}
	}
	for _, file := range []string{"README.md", "docs/conf.py", "pyshim/pyproject.toml", "pyshim/README.md", "pyshim/reflex_driver/overview.py"} {
		if !strings.Contains(read(file), strings.TrimSuffix(site, "/")) && !strings.Contains(read(file), site) {
			t.Errorf("%s does not name %s", file, site)
		}
	}
}

// The version is the first one of CHANGELOG.md, and the tag's where there is one.
func TestVersion(t *testing.T) {
	version := regexp.MustCompile(`__version__ = "(.*)"`).FindStringSubmatch(pages.Read(t, "pyshim/reflex_orm/__init__.py"))[1]
	numbers := regexp.MustCompile(`(?m)^## (\d\S*)`).FindStringSubmatch(pages.Read(t, "CHANGELOG.md"))
	if numbers == nil || numbers[1] != version {
		t.Errorf("__version__ is %s, and the first version of CHANGELOG.md is %v", version, numbers)
	}
	list := exec.Command("git", "tag", "--points-at", "HEAD", "--list", "v*")
	list.Dir = venv.Root()
	out, err := list.Output()
	if err != nil {
		t.Skipf("git: %v", err)
	}
	tags := strings.Fields(string(out))
	if os.Getenv("GITHUB_REF_TYPE") == "tag" {
		tags = append(tags, os.Getenv("GITHUB_REF_NAME"))
	}
	for _, tag := range tags {
		if tag != "v"+version {
			t.Errorf("the tag is %s, and __version__ is %s", tag, version)
		}
	}
	for _, file := range []string{"Dockerfile", "docs/install.md"} {
		if !strings.Contains(pages.Read(t, file), "reflex-orm:v"+version+" ") {
			t.Errorf("%s does not name the image of v%s", file, version)
		}
	}
}

// A link of a page leads to a file, or to a heading of one.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	ours := regexp.MustCompile(`^https://github\.com/reflex-dev/reflex-orm/(?:tree|blob)/main/`)
	for _, page := range documents(t) {
		for _, match := range link.FindAllStringSubmatch(pages.Read(t, page), -1) {
			target, heading, _ := strings.Cut(match[1], "#")
			file := filepath.Join(filepath.Dir(page), target)
			if ours.MatchString(target) {
				file = ours.ReplaceAllString(target, "")
			} else if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			if target == "" {
				file = page
			}
			if _, err := os.Stat(filepath.Join(venv.Root(), file)); err != nil {
				t.Errorf("%s links to %s: %v", page, match[1], err)
			} else if heading != "" && !slices.Contains(headings(t, file), heading) {
				t.Errorf("%s links to %s, and %s has no such heading", page, match[1], file)
			}
		}
	}
}

// documents are README and its like, and the pages of docs.
func documents(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "pyshim/*.md", ".github/*.md"} {
		files, err := filepath.Glob(filepath.Join(venv.Root(), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			name, err := filepath.Rel(venv.Root(), file)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, name)
		}
	}
	return found
}

// headings are those of a page as they stand in a link to it.
func headings(t *testing.T, page string) []string {
	t.Helper()
	var found []string
	for _, match := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(pages.Read(t, page), -1) {
		text := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(match[1]), "")
		found = append(found, strings.ReplaceAll(text, " ", "-"))
	}
	return found
}

// tried names the test that runs each block of commands as it is printed.
var tried = map[string]map[string]string{
	"README.md": {
		"pip install reflex-orm": "TestReadme",
		"/install@latest":        "TestInstall",
	},
	"docs/install.md": {
		"pip install reflex-orm": "TestInstallPage",
		"/install@latest":        "TestInstall",
		"CGO_ENABLED=0":          "TestInstallWithoutC",
		"dir=$(go list":          "TestBuildByHand",
		"completion bash":        "TestInstallPage",
	},
	"docs/python.md":         {"pip install reflex-orm": "TestInstallPage"},
	"docs/go.md":             {"go get ": "TestSessionIsPureGo"},
	"docs/many-databases.md": {"printf": "TestManyDatabasesPage", "status --each": "TestManyDatabasesPage"},
	"docs/docker.md":         {"docker compose up": "TestDockerfile"},
	"docs/command.md":        {},
	"docs/coming-from.md":    {},
}

// No command is printed that no test runs.
func TestCommandsAreTried(t *testing.T) {
	out, err := exec.Command("sh", "-c", `grep -rhoE "^func Test\w+" "$0"/tests "$0"/cmd --include=*_test.go`, venv.Root()).Output()
	if err != nil {
		t.Fatal(err)
	}
	tests := strings.Fields(strings.ReplaceAll(string(out), "func", ""))
	for page, by := range tried {
		for _, block := range pages.Blocks(t, page, "sh") {
			found := ""
			for text, test := range by {
				if strings.Contains(block, text) {
					found = test
				}
			}
			if !slices.Contains(tests, found) {
				t.Errorf("%s: no test (%q) runs\n%s", page, found, block)
			}
		}
	}
}

// The files that docs/docker.md prints are those of examples/docker, which are tested.
func TestDockerPage(t *testing.T) {
	page := pages.Read(t, "docs/docker.md")
	for _, file := range []string{"Dockerfile", ".dockerignore", "compose.yaml"} {
		if !strings.Contains(page, "\n"+pages.Read(t, "examples/docker/"+file)+"```") {
			t.Errorf("docs/docker.md does not print %s as it is", file)
		}
	}
}

// The picture of a terminal shows what is printed today.
func TestTerminalPicture(t *testing.T) {
	env := venv.Get(t, venv.Newest(t), requirements...)
	draw := exec.Command(env.Bin("python"), filepath.Join(venv.Root(), "docs", "terminal.py"), "--check")
	draw.Env = venv.CleanEnv("REFLEX_TEST_PG_URL=" + pgtest.Shared(t).URL("postgres"))
	if out, err := draw.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// No picture has a path of the machine that drew it, or asks another host for anything.
func TestPictures(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(venv.Root(), "docs", "pictures", "*.svg"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v: %v", files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if found := regexp.MustCompile(`/(home|work|tmp|root|usr|opt)/[^<]*|url\(.?http[^)]*|href=.http[^ >]*`).Find(content); found != nil {
			t.Errorf("%s has %s", file, found)
		}
	}
}
