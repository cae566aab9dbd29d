package wheel

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// A command says where a program runs, and with what environment.
type command struct {
	dir string
	env []string
}

// run is the program's standard output; where it fails, its standard error too.
func (c command) run(name string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.dir, c.env, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String() + stderr.String(), err
	}
	return stdout.String(), nil
}

func run(t *testing.T, c command, name string, args ...string) string {
	t.Helper()
	out, err := c.run(name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// bare is an environment in which no program is on PATH: no Go, no compiler,
// and no Python either.
func bare(t *testing.T) []string {
	return []string{"PATH=/nonexistent", "HOME=" + t.TempDir()}
}

// fresh is an environment of the test's own.
func fresh(t *testing.T, python venv.Python, requirements ...string) venv.Env {
	t.Helper()
	env := venv.Env{Dir: filepath.Join(t.TempDir(), "venv"), Python: python}
	c := command{env: venv.CleanEnv()}
	run(t, c, python.Executable, "-m", "venv", env.Dir)
	run(t, c, env.Bin("python"), append([]string{"-m", "pip", "install", "--quiet"}, python.Available(requirements)...)...)
	return env
}

// only is the one file that a pattern matches.
func only(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s matches %v (%v), not one file", pattern, found, err)
	}
	return found[0]
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
