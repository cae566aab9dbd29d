// Package alembicsuite runs Alembic's own tests in the embedded interpreter,
// and compares them one by one with the same tests under plain Python.
//
// It uses the newest interpreter of the machine, which takes a minute or two, and
// every one with REFLEX_TEST_FULL=1, as `make test-alembic` does.
package alembicsuite

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gofrs/flock"

	"github.com/reflex-dev/reflex-orm/embedpy"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// release is of which the tests are; least is how many of them must pass, so
// that a run that collects nothing is not a success.
const (
	release = "1.20.1"
	least   = 1900
)

// requirements are the group "tests" of Alembic's pyproject.toml, less what is
// for more than one process or for its stubs.
var requirements = []string{
	"alembic==" + release, "sqlalchemy[asyncio]>=2.0.58,<2.2",
	"pytest>8,<10", "black==26.5.1", "tzdata",
}

// envPython names the interpreter in which this binary, started again, is to
// run pytest.
const envPython = "ALEMBICSUITE_PYTHON"

func TestMain(m *testing.M) {
	if python := os.Getenv(envPython); python != "" {
		status, err := runEmbedded(python, os.Args[1:])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 3 // pytest's own for an internal error
		}
		os.Exit(status)
	}
	os.Exit(m.Run())
}

const runner = `
import sys
import pytest

def run(*args):
    sys.argv[:] = ["pytest", *args]
    return int(pytest.main(sys.argv[1:]))
`

// runEmbedded runs pytest in this process and returns its exit status.
func runEmbedded(executable string, args []string) (int, error) {
	python, err := embedpy.Find(context.Background(), embedpy.FindOptions{Explicit: executable})
	if err != nil {
		return 0, err
	}
	interpreter, err := embedpy.Start(python, map[string]string{"alembicsuite_runner.py": runner})
	if err != nil {
		return 0, err
	}
	status, err := interpreter.Call("alembicsuite_runner", "run", args...)
	return status, errors.Join(err, interpreter.Close())
}

func TestAlembicSuite(t *testing.T) {
	pythons := venv.Interpreters(t)
	if os.Getenv("REFLEX_TEST_FULL") == "" {
		pythons = pythons[len(pythons)-1:]
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, python := range pythons {
		t.Run(python.Version, func(t *testing.T) {
			env := venv.Get(t, python, requirements...)
			archive := sdist(t, env)
			plain := run(t, env, archive, "", env.Bin("python"), "-m", "pytest")
			embedded := run(t, env, archive, env.Bin("python"), self)
			compare(t, plain, embedded)
		})
	}
}

// A result is how one test ended: passed, failed, skipped.
type result map[string]string

func (r result) count(outcome string) int {
	n := 0
	for _, got := range r {
		if got == outcome {
			n++
		}
	}
	return n
}

func compare(t *testing.T, plain, embedded result) {
	t.Helper()
	for _, outcome := range []string{"passed", "skipped", "failed"} {
		t.Logf("%-7s %4d in plain Python, %4d embedded", outcome, plain.count(outcome), embedded.count(outcome))
	}
	names := maps.Clone(plain)
	maps.Copy(names, embedded)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if plain[name] != embedded[name] {
			t.Errorf("%s: %q in plain Python, %q embedded", name, plain[name], embedded[name])
		}
	}
	if got := embedded.count("passed"); got < least {
		t.Errorf("only %d tests passed", got)
	}
}

// run unpacks the tests, for they write beside themselves, and runs them there.
func run(t *testing.T, env venv.Env, archive, embed string, command ...string) result {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("tar", "-xzf", archive, "-C", dir, "--strip-components=1").CombinedOutput(); err != nil {
		t.Fatalf("unpacking %s: %v\n%s", archive, err, out)
	}
	report := filepath.Join(dir, "report.xml")
	args := append(command[1:], "-q", "--junitxml="+report, "--maxfail=10000", "-p", "no:cacheprovider", "tests")
	cmd := exec.CommandContext(t.Context(), command[0], args...)
	cmd.Dir = dir
	cmd.Env = venv.CleanEnv(
		"PATH="+filepath.Join(env.Dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"),
		"TMPDIR="+t.TempDir(), envPython+"="+embed,
	)
	output, err := cmd.CombinedOutput()
	found, readErr := read(report)
	if readErr != nil {
		t.Fatalf("%s: %v, %v\n%s", command[0], err, readErr, output)
	}
	// A status other than "some tests failed" means that pytest did not end well.
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Errorf("%s: %v\n%s", command[0], err, tail(string(output)))
	}
	return found
}

// read takes the results out of a report in JUnit's format.
func read(file string) (result, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var report struct {
		Cases []struct {
			Class   string    `xml:"classname,attr"`
			Name    string    `xml:"name,attr"`
			Failure *struct{} `xml:"failure"`
			Error   *struct{} `xml:"error"`
			Skipped *struct{} `xml:"skipped"`
		} `xml:"testsuite>testcase"`
	}
	if err := xml.Unmarshal(content, &report); err != nil {
		return nil, err
	}
	found := result{}
	for _, c := range report.Cases {
		outcome := "passed"
		switch {
		case c.Failure != nil, c.Error != nil:
			outcome = "failed"
		case c.Skipped != nil:
			outcome = "skipped"
		}
		name := c.Class + "." + c.Name
		for i := 2; found[name] != ""; i++ { // a name may be there twice
			name = fmt.Sprintf("%s.%s (%d)", c.Class, c.Name, i)
		}
		found[name] = outcome
	}
	return found, nil
}

// sdist is Alembic's source distribution, from the package index at first.
func sdist(t *testing.T, env venv.Env) string {
	t.Helper()
	dir := venv.Cache(t, "sdist")
	archive := filepath.Join(dir, "alembic-"+release+".tar.gz")
	lock := flock.New(archive + ".lock")
	if err := lock.Lock(); err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	if _, err := os.Stat(archive); !errors.Is(err, fs.ErrNotExist) {
		return archive
	}
	cmd := exec.Command(env.Bin("python"), "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
		"--no-deps", "--no-binary", "alembic", "--dest", dir, "alembic=="+release)
	cmd.Env = venv.CleanEnv()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("downloading Alembic's source: %v\n%s", err, out)
	}
	return archive
}

func tail(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}
