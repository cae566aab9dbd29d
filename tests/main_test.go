// Package tests runs the real binary, in real environments, on real databases.
//
// The scripts in testdata are what a user would type (testscript's syntax:
// https://pkg.go.dev/github.com/rogpeppe/go-internal/testscript), with these
// commands added:
//
//	database DRIVER      REFLEX_DB_URL names a new database for this driver
//	exits STATUS CMD...  run CMD, which must end with exactly this status
//
// testdata/every runs on each interpreter found and with each driver, which is
// in $DRIVER; testdata/once runs on the newest interpreter, and testdata/guest on
// one without libpython. With REFLEX_TEST_GUEST set, all of them run on that one.
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

func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m))
}

// forms are the ways to start the command that tests can be run with.
const (
	embedded = ""        // the Go program loads libpython
	become   = "become"  // the Go program becomes a Python without libpython
	console  = "console" // the Python package's script
)

// form is the way that the tests of this run take.
var form = os.Getenv(venv.EnvForm)

// reflex builds the command once and returns its directory; console is that of the
// Python package, under the same name.
var (
	reflex     = sync.OnceValues(build)
	pythonOnly = sync.OnceValues(writeConsole)
)

func build() (string, error) {
	dir, err := os.MkdirTemp("", "reflex-bin-")
	if err != nil {
		return "", err
	}
	return dir, command("go", "build", "-o", filepath.Join(dir, "reflex"), "./cmd/reflex")
}

// consoleScript is what pip makes of the script reflex-db, for the package in the
// checkout, and with a name for what it prints.
const consoleScript = `import sys
sys.path.insert(0, %q)
from reflex_driver import console
del sys.path[0]
console.PROGRAM = %q
if __name__ == "__main__":
    sys.exit(console.main())
`

func writeConsole() (string, error) {
	dir, err := os.MkdirTemp("", "reflex-console-")
	if err != nil {
		return "", err
	}
	for name, program := range map[string]string{"reflex": "reflex db", "reflex-db": "reflex-db"} {
		script := filepath.Join(dir, name+".py")
		content := fmt.Sprintf(consoleScript, filepath.Join(venv.Root(), "pyshim"), program)
		start := "#!/bin/sh\n[ \"$1\" = db ] && shift\n" +
			"exec \"$VIRTUAL_ENV/bin/python\" " + script + " \"$@\"\n"
		err := errors.Join(os.WriteFile(script, []byte(content), 0o644), os.WriteFile(filepath.Join(dir, name), []byte(start), 0o755))
		if err != nil {
			return "", err
		}
	}
	return dir, nil
}

func command(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = venv.Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building reflex: %s: %w\n%s", cmd, err, out)
	}
	return nil
}

func reflexDir(t testing.TB) string {
	t.Helper()
	get := reflex
	if form == console {
		get = pythonOnly
	}
	dir, err := get()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// drivers of the databases that are tested, as they stand in a URL.
var drivers = []string{"sqlite", "sqlite+aiosqlite", "postgresql+psycopg", "postgresql+psycopg2", "postgresql+asyncpg"}

func TestEveryInterpreter(t *testing.T) {
	for _, python := range venv.Interpreters(t) {
		t.Run(python.Version, func(t *testing.T) {
			t.Parallel()
			env := venv.Get(t, python, requirements...)
			for _, driver := range drivers {
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
