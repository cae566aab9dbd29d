// Package venv gives tests the Python interpreters of this machine, and virtual
// environments made with them.
//
// Environments are made once, from the package index, and kept under .cache in
// the repository's root: a second run of the tests reuses them. They are shared
// by the test binaries that run at the same time, so making one takes a lock.
package venv

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gofrs/flock"
)

// EnvPythons, where it is set, names the interpreters to test with, separated
// like PATH, instead of all that are found; "newest" is the newest of these.
const EnvPythons = "REFLEX_TEST_PYTHONS"

// Python is a CPython of this machine, 3.10 or later, not in an environment.
type Python struct {
	Executable   string // as sys.executable has it
	Version      string // "3.12.1"
	FreeThreaded bool   // only where EnvPythons names its path
	Headers      bool   // whether it has Python.h, to build C extensions for it
}

// Minor is "3.12" of "3.12.1".
func (p Python) Minor() string {
	return p.Version[:strings.LastIndexByte(p.Version, '.')]
}

// Available is requirements less what there is not for p: psycopg's binary for a
// free-threaded one.
func (p Python) Available(requirements []string) []string {
	available := slices.Clone(requirements)
	if p.FreeThreaded {
		for i, name := range available {
			available[i] = strings.TrimSuffix(name, "[binary]")
		}
	}
	return available
}

// Env is a virtual environment.
type Env struct {
	Dir    string
	Python Python // the interpreter that it was made with
}

// Bin is the path of a command of the environment; Bin("python") is its interpreter.
func (e Env) Bin(name string) string { return filepath.Join(e.Dir, "bin", name) }

// Root is the root of the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Cache is a directory under .cache that is kept between runs. Several clones may
// share one .cache by a link, and an environment's scripts hold its path: so that
// this is no clone's, links are resolved.
func Cache(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(Root(), ".cache", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// CleanEnv is this process's environment without the variables that would
// change how Python, Alembic or reflex behave, plus extra ones.
func CleanEnv(extra ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return strings.HasPrefix(name, "PYTHON") || strings.HasPrefix(name, "REFLEX_") ||
			strings.HasPrefix(name, "PG") || name == "VIRTUAL_ENV" || name == "CONDA_PREFIX" ||
			name == "ALEMBIC_CONFIG"
	})
	return append(env, extra...)
}

// Interpreters is every usable CPython on PATH and under pyenv that uses a
// libpython, and the one that the tests bring, one a version, the oldest first.
func Interpreters(t testing.TB) []Python {
	t.Helper()
	if Becomes() {
		return []Python{Static(t)}
	}
	if runtime.GOOS == "windows" {
		t.Skip("this package knows no Python of Windows")
	}
	pythons, err := interpreters()
	if len(pythons) == 0 {
		t.Fatal("no CPython 3.10 or later that uses a libpython and has the venv module: ", err)
	}
	if err != nil {
		t.Logf("left out: %v", err) // tests/report lists it
	}
	return pythons
}

// interpreters looks once: the answer is the same in all tests of a binary. The
// error is why the tests' own Python is not among them.
var interpreters = sync.OnceValues(func() (pythons []Python, missing error) {
	all := candidates()
	if len(named()) == 0 {
		var own string
		if own, missing = standalone(true); missing == nil {
			all = append(all, own)
		}
	}
	found := map[string]bool{}
	for _, candidate := range all {
		python, err := probe(candidate, "shared")
		if err != nil || found[python.Version] {
			continue
		}
		found[python.Version] = true
		pythons = append(pythons, python)
	}
	slices.SortFunc(pythons, func(a, b Python) int {
		return slices.Compare(release(a.Version), release(b.Version))
	})
	if os.Getenv(EnvPythons) == "newest" && len(pythons) > 1 {
		pythons = pythons[len(pythons)-1:]
	}
	return pythons, missing
})

// Newest is the newest of Interpreters, for tests where one is enough.
func Newest(t testing.TB) Python {
	t.Helper()
	pythons := Interpreters(t)
	return pythons[len(pythons)-1]
}

// OldestAndNewest are the ends of Interpreters, for tests of what hardly depends on the
// version of Python.
func OldestAndNewest(t testing.TB) []Python {
	t.Helper()
	pythons := Interpreters(t)
	return slices.Compact([]Python{pythons[0], pythons[len(pythons)-1]})
}

// named is the interpreters that EnvPythons names by their paths.
func named() []string {
	if value := os.Getenv(EnvPythons); value != "newest" {
		return filepath.SplitList(value)
	}
	return nil
}

func candidates() []string {
	if paths := named(); len(paths) > 0 {
		return paths
	}
	patterns := []string{}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if filepath.Base(dir) != "shims" { // pyenv's, which answer for one version only
			patterns = append(patterns, filepath.Join(dir, "python3.[0-9]*"))
		}
	}
	if home, err := os.UserHomeDir(); err == nil {
		patterns = append(patterns, filepath.Join(home, ".pyenv", "versions", "3.*", "bin", "python3"))
	}
	var found []string
	for _, pattern := range patterns {
		matches, _ := filepath.Glob(pattern)
		found = append(found, matches...)
	}
	return found
}

const question = `
import json, os, sys, sysconfig, venv, ensurepip
v = lambda name: sysconfig.get_config_var(name) or ""
if sys.platform == "linux":
    shared = "/libpython" in open("/proc/self/maps").read()
else: # macOS: libpython3.14.dylib, or Python.framework/Versions/3.14/Python
    shared = os.path.exists(os.path.join(v("PYTHONFRAMEWORKPREFIX") or v("LIBDIR"), v("INSTSONAME")))
ok = sys.implementation.name == "cpython" and sys.version_info >= (3, 10) and sys.prefix == sys.base_prefix
form = "" if not ok else "shared" if shared else "static"
print(json.dumps({
    "Executable": sys.executable, "Version": "%d.%d.%d" % sys.version_info[:3],
    "FreeThreaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")), "form": form,
    "Headers": os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")),
}))
`

// probe asks an interpreter whether it is of this form: shared, which uses a
// libpython, or static.
func probe(executable, form string) (Python, error) {
	cmd := exec.Command(executable, "-I", "-c", question)
	cmd.Env = CleanEnv()
	out, err := cmd.Output()
	if err != nil {
		return Python{}, err
	}
	var answer struct {
		Python
		Form string `json:"form"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return Python{}, err
	}
	if answer.Form != form || answer.FreeThreaded && len(named()) == 0 {
		return Python{}, fmt.Errorf("%s is not for these tests", executable)
	}
	return answer.Python, nil
}

func release(version string) []int {
	var major, minor, patch int
	fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch)
	return []int{major, minor, patch}
}

// Get is an environment of python with the given requirements, as pip takes
// them. It is made if it is not in the cache; tests must not change it.
func Get(t testing.TB, python Python, requirements ...string) Env {
	t.Helper()
	requirements = python.Available(requirements)
	sum := sha256.Sum256([]byte(python.Executable + "\n" + strings.Join(requirements, "\n")))
	dir := filepath.Join(Cache(t, "venvs"), python.Version+"-"+hex.EncodeToString(sum[:4]))
	env := Env{Dir: dir, Python: python}

	lock := flock.New(dir + ".lock")
	if err := lock.Lock(); err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	done := filepath.Join(dir, "requirements.done")
	if _, err := os.Stat(done); err == nil {
		return env
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	t.Logf("making an environment of Python %s with %s", python.Version, strings.Join(requirements, " "))
	run(t, python.Executable, "-m", "venv", dir)
	if len(requirements) > 0 {
		install := []string{"-m", "pip", "install", "--quiet", "--disable-pip-version-check"}
		run(t, env.Bin("python"), append(install, requirements...)...)
	}
	if err := os.WriteFile(done, []byte(strings.Join(requirements, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	return env
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = CleanEnv()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
