package tests

import (
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// TestBecome runs the command where it becomes a Python that has no libpython. It is a
// short list; `make test-become` runs all the tests in this way.
func TestBecome(t *testing.T) {
	if form != embedded {
		t.Skip("all tests are of another form")
	}
	shortList(t, reflexDir(t), venv.Get(t, venv.Static(t), requirements...))
}

// TestConsole runs the Python package's script. It is a short list; `make test-console`
// runs all the tests in this way.
func TestConsole(t *testing.T) {
	if form != embedded {
		t.Skip("all tests are of another form")
	}
	bin, err := pythonOnly()
	if err != nil {
		t.Fatal(err)
	}
	for _, python := range venv.Interpreters(t) {
		t.Run(python.Version, func(t *testing.T) {
			t.Parallel()
			shortList(t, bin, venv.Get(t, python, requirements...))
		})
	}
}

func shortList(t *testing.T, bin string, env venv.Env) {
	for _, driver := range []string{"sqlite", "postgresql+psycopg", "postgresql+asyncpg"} {
		t.Run(driver, func(t *testing.T) { runScripts(t, bin, "every", env, driver) })
	}
}

// TestFormIsUnnoticeable runs testdata/form, where a project looks for what the way to
// start the command could have changed.
func TestFormIsUnnoticeable(t *testing.T) {
	t.Run("become", func(t *testing.T) {
		runScripts(t, goDir(t), "form", venv.Get(t, venv.Static(t), requirements...), "")
	})
	t.Run("embedded", func(t *testing.T) {
		if venv.Becomes() {
			t.Skip("there is no libpython")
		}
		runScripts(t, goDir(t), "form", venv.Get(t, venv.Newest(t), requirements...), "")
	})
	t.Run("console", func(t *testing.T) {
		bin, err := pythonOnly()
		if err != nil {
			t.Fatal(err)
		}
		runScripts(t, bin, "form", venv.Get(t, venv.Newest(t), requirements...), "")
	})
}

// goDir is the directory of the Go program.
func goDir(t *testing.T) string {
	t.Helper()
	dir, err := reflex()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
