package venv

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gofrs/flock"
)

// EnvForm names the way in which the tests of the command start it: see tests/main_test.go.
// With "become", Interpreters are those of Static.
const EnvForm = "REFLEX_TEST_FORM"

// Becomes reports whether the tests have the command become a Python without libpython.
func Becomes() bool { return os.Getenv(EnvForm) == "become" }

// Static is a Python that has no libpython: one of this machine, or a copy of
// Debian's own, whose package of libpython is apart, without it, or else the tests'
// own without its libpython. Where that can't be had the test is skipped.
func Static(t testing.TB) Python {
	t.Helper()
	for _, candidate := range candidates() {
		if python, err := probe(candidate, "static"); err == nil {
			return python
		}
	}
	debian, err := filepath.EvalSymlinks("/usr/bin/python3")
	if err != nil || !isStatic(debian) {
		own, err := standalone(false)
		if err != nil {
			t.Skip("there is no Python without a libpython on this machine: ", err)
		}
		python, err := probe(own, "static")
		if err != nil {
			t.Fatal(err)
		}
		return python
	}
	dir := filepath.Join(Cache(t, "static"), filepath.Base(debian))
	copied := filepath.Join(dir, "bin", filepath.Base(debian))
	lock := flock.New(dir + ".lock")
	if err := lock.Lock(); err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	if _, err := os.Stat(copied); err != nil {
		if err := copyPython(dir, debian, copied); err != nil {
			t.Fatal(err)
		}
	}
	python, err := probe(copied, "static")
	if err != nil {
		t.Skip("Debian's python3 can't be used: is its package of venv installed? ", err)
	}
	return python
}

// isStatic reports whether a program does without libpython.
func isStatic(program string) bool {
	file, err := elf.Open(program)
	if err != nil {
		return false
	}
	defer file.Close()
	needed, err := file.ImportedLibraries()
	return err == nil && !slices.ContainsFunc(needed, func(name string) bool { return strings.HasPrefix(name, "libpython") })
}

// copyPython copies a Python to dir, where it finds its library beside it, and
// makes it forget where the original's libpython is.
func copyPython(dir, python, copied string) error {
	name := filepath.Base(python)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for _, sub := range []string{"bin", "lib"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	library := filepath.Join(dir, "lib", name)
	if out, err := exec.Command("cp", "-R", filepath.Join("/usr/lib", name), library).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	for _, pattern := range []string{"config-*", filepath.Join("__pycache__", "_sysconfigdata_*")} {
		matches, _ := filepath.Glob(filepath.Join(library, pattern))
		for _, match := range matches {
			os.RemoveAll(match)
		}
	}
	data, _ := filepath.Glob(filepath.Join(library, "_sysconfigdata_*.py"))
	for _, file := range data {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		content = regexp.MustCompile(`'(LIBDIR|LIBPL)': '[^']*'`).ReplaceAll(content, []byte(`'$1': '`+filepath.Dir(library)+`'`))
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return err
		}
	}
	if out, err := exec.Command("cp", python, copied).CombinedOutput(); err != nil { // last: it says that all is there
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}
