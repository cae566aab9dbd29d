// Package install does what README tells Go's users to do, with a tagged version of this
// module in a proxy of its own.
package install

import (
	"archive/zip"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/pages"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

const (
	module  = "github.com/reflex-dev/reflex-orm"
	version = "v0.99.7"
)

// The line of README makes the command, without pkg-config and Python's headers.
func TestInstall(t *testing.T) {
	user := newUser(t)
	line := pages.Only(t, "README.md", "/install@latest")
	if out, err := user.run(line); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	out, err := exec.Command(filepath.Join(user.bin, "reflex"), "version", "--short").CombinedOutput()
	if err != nil || !strings.Contains(string(out), version) {
		t.Errorf("the program that was installed says %v: %s", err, out)
	}
}

// Without a C compiler it is go install, and the program becomes Python.
func TestInstallWithoutC(t *testing.T) {
	user := newUser(t)
	line := pages.Only(t, "docs/install.md", "CGO_ENABLED=0 go install")
	if out, err := user.run(line); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	cmd := exec.Command(filepath.Join(user.bin, "reflex"), "--python", venv.Newest(t).Executable, "version")
	cmd.Env = venv.CleanEnv()
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), version) || !strings.Contains(string(out), "this process is Python itself") {
		t.Errorf("the program that was installed says %v: %s", err, out)
	}
}

// The compiler's error says what to type, whichever Python.h it has found.
func TestCompilerLeadsToInstall(t *testing.T) {
	user := newUser(t)
	for name, header := range map[string]string{
		"another Python.h": "typedef struct { int x; } PyObject;\n",
		"no Python.h":      "",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "python3.pc"), "Name: python3\nDescription: x\nVersion: 3\nCflags: -I"+dir+"\n")
			if header != "" {
				write(t, filepath.Join(dir, "Python.h"), header)
			}
			write(t, filepath.Join(dir, "pkg-config"), "#!/bin/sh\ncase \"$*\" in *--cflags*) echo -I"+dir+" ;; esac\n")
			if err := os.Chmod(filepath.Join(dir, "pkg-config"), 0o755); err != nil {
				t.Fatal(err)
			}
			out, err := user.run("PKG_CONFIG=" + filepath.Join(dir, "pkg-config") + " go install " + module + "/cmd/reflex@latest")
			if err == nil || !strings.Contains(out, "go run "+module+"/install@latest") {
				t.Errorf("%v:\n%s", err, out)
			}
		})
	}
}

// A service needs no C compiler: there is a file of each package without cgo.
func TestSessionIsPureGo(t *testing.T) {
	user := newUser(t)
	write(t, filepath.Join(user.dir, "go.mod"), "module example.com/shop\n\ngo 1.26\n")
	line := pages.Only(t, "docs/go.md", "go get ")
	write(t, filepath.Join(user.dir, "main.go"), "package main\n\nimport _ \""+module+"/session\"\n\nfunc main() {}\n")
	if out, err := user.run(line + " && CGO_ENABLED=0 go list -deps ."); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
}

// A build of one's own, by hand.
func TestBuildByHand(t *testing.T) {
	user := newUser(t)
	write(t, filepath.Join(user.dir, "go.mod"), "module example.com/shop\n\ngo 1.26\n")
	write(t, filepath.Join(user.dir, "main.go"), "package main\n\nimport _ \""+module+"/embedpy\"\n\nfunc main() {}\n")
	lines := pages.Only(t, "docs/install.md", "dir=$(go list")
	if out, err := user.run("go get " + module + "/embedpy && " + lines); err != nil {
		t.Fatalf("%s: %v\n%s", lines, err, out)
	}
}

// shared is the directory with the cache of modules and the proxy of all tests, so that
// each module is compiled once.
var shared string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if shared, err = os.MkdirTemp("", "reflex-install-"); err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(shared)
		return m.Run()
	}())
}

// user is somebody with Go, a cache of modules of their own, and no clone.
type user struct {
	dir, bin string
	env      []string
}

func newUser(t *testing.T) user {
	t.Helper()
	u := user{dir: t.TempDir(), bin: t.TempDir()}
	cache := goEnv(t, "GOMODCACHE")
	u.env = append(venv.CleanEnv(), "PKG_CONFIG=", "CGO_CFLAGS=", "GOFLAGS=-modcacherw", "GOSUMDB=off", "GOWORK=off",
		"GOMODCACHE="+filepath.Join(shared, "modules"), "GOBIN="+u.bin,
		"GOPROXY=file://"+proxy(t)+",file://"+filepath.Join(cache, "cache", "download")+","+goEnv(t, "GOPROXY"))
	return u
}

// run gives a line to the shell.
func (u user) run(line string) (string, error) {
	cmd := exec.Command("sh", "-ec", line)
	cmd.Dir, cmd.Env = u.dir, u.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// proxy is a directory that serves the files of this checkout as a tagged version.
func proxy(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(shared, "proxy")
	versions := filepath.Join(dir, filepath.FromSlash(module), "@v")
	if _, err := os.Stat(versions); err == nil {
		return dir
	}
	if err := os.MkdirAll(versions, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(versions, "list"), version+"\n")
	write(t, filepath.Join(versions, version+".info"), fmt.Sprintf(`{"Version": %q, "Time": "2026-01-02T03:04:05Z"}`, version))
	mod, err := os.ReadFile(filepath.Join(venv.Root(), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(versions, version+".mod"), string(mod))
	file, err := os.Create(filepath.Join(versions, version+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	archive := zip.NewWriter(file)
	for _, name := range filesOf(t) {
		if err := pack(archive, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// filesOf are the files of the module: a directory with a go.mod is another one.
func filesOf(t *testing.T) []string {
	t.Helper()
	list := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard")
	list.Dir = venv.Root()
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	var files, others []string
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSpace(name)
		if dir, isModule := strings.CutSuffix(name, "/go.mod"); isModule {
			others = append(others, dir+"/")
		}
		if info, err := os.Lstat(filepath.Join(venv.Root(), name)); err == nil && info.Mode().IsRegular() {
			files = append(files, name)
		}
	}
	var own []string
	for _, name := range files {
		inOther := false
		for _, other := range others {
			inOther = inOther || strings.HasPrefix(name, other)
		}
		if !inOther {
			own = append(own, name)
		}
	}
	return own
}

func pack(archive *zip.Writer, name string) error {
	content, err := os.Open(filepath.Join(venv.Root(), name))
	if err != nil {
		return err
	}
	defer content.Close()
	packed, err := archive.Create(module + "@" + version + "/" + name)
	if err != nil {
		return err
	}
	_, err = io.Copy(packed, content)
	return err
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
