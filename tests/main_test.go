// Package tests runs the real binary, in real environments, on real databases.
//
// The scripts in testdata are what a user would type (testscript's syntax:
// https://pkg.go.dev/github.com/rogpeppe/go-internal/testscript), with these
// commands added:
//
//	database DRIVER      REFLEX_DB_URL names a new database for this driver
//	exits STATUS CMD...  run CMD, which must end with exactly this status
//	[go] CMD...          run CMD only where the command is the Go program
//	[pure] CMD...        run CMD only where that is built without cgo
//
// testdata/every runs on each interpreter found and with each driver, which is
// in $DRIVER. testdata/once runs on the newest interpreter. testdata/form runs in the
// four forms of the command. REFLEX_TEST_FORM chooses the form of all other tests.
package tests

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// requirements of the environment that the scripts run in.
var requirements = []string{
	"alembic==1.20.1", "sqlalchemy[asyncio]>=2.0.58,<2.2", "sqlmodel", // 2.1 needs Python 3.11
	"psycopg[binary]", "psycopg2-binary", "asyncpg", "aiosqlite",
}

// made is the directory of what all tests of this run share.
var made string

func TestMain(m *testing.M) {
	var err error
	if made, err = os.MkdirTemp("", "reflex-tests-"); err != nil {
		panic(err)
	}
	status := pgtest.Main(m)
	os.RemoveAll(made)
	os.Exit(status)
}

// forms are the ways to start the command that tests can be run with.
const (
	embedded = ""        // the Go program loads libpython
	become   = "become"  // the Go program becomes a Python that uses no libpython
	console  = "console" // the Python package's script
)

// form is the way that the tests of this run take.
var form = os.Getenv(venv.EnvForm)

// shared is a directory that the first test that asks for it makes for all.
func shared(name string, fill func(t testing.TB, dir string) error) func(testing.TB) string {
	var once sync.Once
	var err error
	return func(t testing.TB) string {
		t.Helper()
		dir := filepath.Join(made, name)
		once.Do(func() { err = errors.Join(os.Mkdir(dir, 0o755), fill(t, dir)) })
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
}

var (
	// goDir is the directory of the Go program; reflex-db is its other name.
	goDir = shared("go", buildGo(nil))
	// pureDir is the same of the program that is built without cgo.
	pureDir = shared("pure", buildGo([]string{"CGO_ENABLED=0"}))
	// consoleDir is the directory of the Python package's script: as reflex-db, and as
	// reflex, under the name of the Go program.
	consoleDir = shared("console", writeConsole)
)

// reflexDir is the directory of the command in the form that is tested.
func reflexDir(t testing.TB) string {
	t.Helper()
	if form == console {
		return consoleDir(t)
	}
	return goDir(t)
}

func buildGo(env []string) func(testing.TB, string) error {
	return func(_ testing.TB, dir string) error {
		program := filepath.Join(dir, "reflex")
		cmd := exec.Command("go", "build", "-o", program, "./cmd/reflex")
		cmd.Dir, cmd.Env = venv.Root(), append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building reflex: %s: %w\n%s", cmd, err, out)
		}
		return os.Symlink(program, program+"-db")
	}
}

// consoleScript is what pip makes of the script reflex-db, for the package in the
// checkout. Under the name reflex it takes what is typed for the Go program.
const consoleScript = `import sys
sys.path.insert(0, %q)
from reflex_driver import console
del sys.path[0]
console.PROGRAM = %q
if __name__ == "__main__":
    if console.PROGRAM == "reflex db" and "db" in sys.argv:
        sys.argv.remove("db")
    sys.exit(console.main())
`

// consoleStart runs the script by the active environment's Python, where the
// environment has Alembic's script. It is by a Python of its own elsewhere, as pipx
// installs it.
const consoleStart = `#!/bin/sh
python=%q
if [ -x "$VIRTUAL_ENV/bin/alembic" ]; then python=$VIRTUAL_ENV/bin/python; fi
exec "$python" %q "$@"
`

func writeConsole(t testing.TB, dir string) error {
	python := venv.Newest(t).Executable
	var err error
	for name, program := range map[string]string{"reflex": "reflex db", "reflex-db": "reflex-db"} {
		file := filepath.Join(dir, name)
		script := fmt.Sprintf(consoleScript, filepath.Join(venv.Root(), "pyshim"), program)
		err = errors.Join(err,
			os.WriteFile(file+".py", []byte(script), 0o644),
			os.WriteFile(file, fmt.Appendf(nil, consoleStart, python, file+".py"), 0o755))
	}
	return err
}

// drivers of the databases that are tested, as they stand in a URL.
var drivers = []string{"sqlite", "sqlite+aiosqlite", "postgresql+psycopg", "postgresql+psycopg2", "postgresql+asyncpg"}

// shortDrivers are one of each kind.
var shortDrivers = []string{"sqlite", "postgresql+psycopg", "postgresql+asyncpg"}

// TestEveryInterpreter runs a project's whole workflow. Which interpreter it is makes no
// difference to how SQLAlchemy calls a driver, so those in the middle have one driver of
// each kind: SQLite's, one that waits in C, and one on an event loop.
func TestEveryInterpreter(t *testing.T) {
	ends := venv.OldestAndNewest(t)
	for _, python := range venv.Interpreters(t) {
		t.Run(python.Version, func(t *testing.T) {
			t.Parallel()
			env := venv.Get(t, python, requirements...)
			chosen := drivers
			if !slices.Contains(ends, python) {
				chosen = shortDrivers
			}
			for _, driver := range chosen {
				t.Run(driver, func(t *testing.T) { runScripts(t, reflexDir(t), "every", env, driver) })
			}
		})
	}
}

func TestOnce(t *testing.T) {
	runScripts(t, reflexDir(t), "once", venv.Get(t, venv.Newest(t), requirements...), "")
}

func runScripts(t *testing.T, bin, dir string, env venv.Env, driver string) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", dir),
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("VIRTUAL_ENV", env.Dir)
			e.Setenv("VENV", env.Dir)
			e.Setenv("DRIVER", driver)
			e.Setenv("REFLEX", filepath.Join(bin, "reflex"))
			e.Setenv("SHOP", filepath.Join(venv.Root(), "examples", "shop"))
			e.Setenv("LANG", "C.UTF-8")
			e.Vars = slices.DeleteFunc(e.Vars, func(kv string) bool { // with it, crashes are Go's
				return strings.HasPrefix(kv, "GOTRACEBACK=")
			})
			e.Setenv("XDG_CACHE_HOME", e.Getenv("WORK")+"/cache")
			return nil
		},
		Condition: func(name string) (bool, error) {
			switch form := filepath.Base(bin); name {
			case "go":
				return form != "console", nil
			case "pure":
				return form == "pure", nil
			}
			return false, fmt.Errorf("there is no condition %s", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"database": func(ts *testscript.TestScript, neg bool, args []string) { useDatabase(t, ts, args) },
			"exits":    exits,
		},
	})
}

func useDatabase(t *testing.T, ts *testscript.TestScript, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: database DRIVER")
	}
	if strings.HasPrefix(args[0], "sqlite") {
		file := ts.MkAbs("app.db")
		ts.Check(os.RemoveAll(file))
		ts.Setenv("REFLEX_DB_URL", args[0]+":///"+file)
		return
	}
	url := pgtest.Shared(t).NewDatabase(t)
	ts.Setenv("REFLEX_DB_URL", strings.Replace(url, "postgresql:", args[0]+":", 1))
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: exits STATUS COMMAND [ARG...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		exit, ok := err.(*exec.ExitError)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}
