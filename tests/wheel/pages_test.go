package wheel

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/pages"
	"github.com/reflex-dev/reflex-orm/tests/pgtest"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// reader types what a page prints, in a directory and an environment of their own; pip
// takes the wheel of this checkout.
type reader struct {
	dir string
	env venv.Env
	command
}

func newReader(t *testing.T) reader {
	t.Helper()
	wheel, _ := distribution(t)
	r := reader{dir: t.TempDir(), env: venv.Env{Dir: filepath.Join(t.TempDir(), "venv")}}
	run(t, command{env: venv.CleanEnv()}, venv.Newest(t).Executable, "-m", "venv", r.env.Dir)
	constraint := filepath.Join(t.TempDir(), "constraints.txt")
	write(t, constraint, "reflex-orm @ file://"+wheel+"\n")
	r.command = command{dir: r.dir, env: venv.CleanEnv(
		"PIP_CONSTRAINT="+constraint, "PATH="+r.env.Bin("")+string(os.PathListSeparator)+os.Getenv("PATH"))}
	return r
}

func (r reader) types(t *testing.T, lines ...string) string {
	t.Helper()
	return run(t, r.command, "bash", "-eu", "-o", "pipefail", "-c", strings.Join(lines, "\n"))
}

// The first screen of README works in an empty directory, with the models that it prints.
func TestReadme(t *testing.T) {
	r := newReader(t)
	python := pages.Blocks(t, "README.md", "python")
	write(t, filepath.Join(r.dir, "shop.py"), python[0])
	write(t, filepath.Join(r.dir, "app.py"), python[1])
	install := pages.Only(t, "README.md", "pip install")
	out := r.types(t, install, "reflex-db status", "python -W error app.py", "python -m reflex_orm current")
	for _, want := range []string{"Up to date", "(head)"} {
		if !strings.Contains(out, want) {
			t.Errorf("there is no %q in\n%s", want, out)
		}
	}
	rows := run(t, r.command, r.env.Bin("python"), "-c", "import sqlite3; print(*sqlite3.connect('shop.db').execute('select name from customer'))")
	if rows != "('Ada',)\n" {
		t.Errorf("the application has stored %s", rows)
	}
}

// What pip installs is there under each name of docs/install.md.
func TestInstallPage(t *testing.T) {
	r := newReader(t)
	out := r.types(t, pages.Only(t, "docs/install.md", "pip install"), "reflex-orm --help", "reflex-orm version --short")
	for _, want := range []string{"reflex-db [-c FILE]", "reflex-orm [-c FILE]", "  completion ", "  version ", "https://reflex-dev.github.io"} {
		if !strings.Contains(out, want) {
			t.Errorf("--help has no %q:\n%s", want, out)
		}
	}
	r.types(t, pages.Only(t, "docs/python.md", "pip install"))
	for line := range strings.Lines(pages.Only(t, "docs/install.md", "completion bash")) {
		if strings.Contains(line, "reflex-db") {
			r.types(t, line, "complete -p reflex-db")
		}
	}
	if out, err := r.run(r.env.Bin("reflex-orm"), "upgrade"); err == nil || !strings.Contains(out, "reflex-orm upgrade") {
		t.Errorf("called as reflex-orm, it answers %v %s", err, out)
	}
}

// Three SQLite databases, as docs/many-databases.md has it, and each option that it lists.
func TestManyDatabasesPage(t *testing.T) {
	r := newReader(t)
	r.types(t, "pip install -q reflex-orm")
	lines := append([]string{}, pages.Blocks(t, "docs/many-databases.md", "sh")...)
	url := strings.Split(pages.Only(t, "docs/many-databases.md", "printf"), "\n")[0]
	out := r.types(t, lines...)
	for _, name := range []string{"ada", "grace", "joan"} {
		if !strings.Contains(out, name) {
			t.Errorf("there is no %s in\n%s", name, out)
		}
	}
	options := regexp.MustCompile("(?m)\\| `(--[^`]+)`").FindAllStringSubmatch(pages.Read(t, "docs/many-databases.md"), -1)
	if len(options) < 5 {
		t.Fatalf("the page lists %v", options)
	}
	for _, option := range options {
		r.types(t, url, "reflex-db upgrade head --each tenants.txt "+option[1])
	}
	r.types(t, url, "reflex-db status --check --each tenants.txt", "printf 'ada\\n' | reflex-db upgrade head --each -")
}

// The steps of the Dockerfile work where there is no Docker, and the command of the
// compose file migrates. What is not tried is what Docker does of itself.
func TestDockerfile(t *testing.T) {
	wheel, _ := distribution(t)
	uv := venv.Get(t, venv.Newest(t), "uv")
	context, image := t.TempDir(), t.TempDir()
	copyTree(t, filepath.Join(venv.Root(), "examples", "shop"), context)
	write(t, filepath.Join(context, "pyproject.toml"), fmt.Sprintf(`[project]
name = "shop"
version = "1"
requires-python = ">=3.10"
dependencies = ["reflex-orm", "psycopg[binary]"]

[tool.uv.sources]
reflex-orm = { path = %q }
`, wheel))
	env := venv.CleanEnv("PATH="+uv.Bin("")+string(os.PathListSeparator)+os.Getenv("PATH"), "UV_PYTHON="+uv.Bin("python"))
	run(t, command{dir: context, env: env}, uv.Bin("uv"), "lock")

	dockerfile := pages.Read(t, "examples/docker/Dockerfile")
	build, final, _ := strings.Cut(dockerfile, "\n\nFROM ")
	for line := range strings.Lines(build) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case word == "ENV":
			env = append(env, strings.Fields(rest)...)
		case word == "RUN":
			run(t, command{dir: image, env: env}, "sh", "-ec", rest)
		case word == "COPY" && rest == ". .":
			copyTree(t, context, image)
		case word == "COPY" && !strings.HasPrefix(rest, "--from"):
			names := strings.Fields(rest)
			for _, name := range names[:len(names)-1] {
				write(t, filepath.Join(image, name), read(t, filepath.Join(context, name)))
			}
		}
	}
	variables := regexp.MustCompile(`(?m)^ENV (.*)$`).FindStringSubmatch(final)[1]
	script := "export " + strings.ReplaceAll(variables, "/app", image)
	migrate := regexp.MustCompile(`command: \[(.*)\]`).FindStringSubmatch(pages.Read(t, "examples/docker/compose.yaml"))[1]
	url := "REFLEX_DB_URL=" + strings.Replace(pgtest.Shared(t).NewDatabase(t), "postgresql:", "postgresql+psycopg:", 1)
	in := command{dir: image, env: append(venv.CleanEnv(), url)}
	run(t, in, "sh", "-ec", script+"\n"+strings.ReplaceAll(migrate, ",", ""))
	if out := run(t, in, "sh", "-ec", script+"\nreflex-db current\npython -m shop"); !strings.Contains(out, "(head)") {
		t.Errorf("the container says %s", out)
	}
	if _, err := exec.LookPath("docker"); err == nil {
		compose := exec.Command("docker", "compose", "-f", filepath.Join(venv.Root(), "examples", "docker", "compose.yaml"), "config", "--quiet")
		if out, err := compose.CombinedOutput(); err != nil && !strings.Contains(string(out), "unknown") {
			t.Errorf("docker compose config: %v\n%s", err, out)
		}
	}
}
