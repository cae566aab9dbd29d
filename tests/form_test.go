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

// TestWithoutC runs the program that is built without cgo, as for musl, macOS and Windows:
// it becomes a Python that has a libpython too.
func TestWithoutC(t *testing.T) {
	if form != embedded {
		t.Skip("all tests are of another form")
	}
	shortList(t, pureDir(t), venv.Get(t, venv.Newest(t), requirements...))
}

// TestConsole runs the Python package's script. It is a short list; `make test-console`
// runs all the tests in this way. What is installed runs on every interpreter in
// tests/wheel.
func TestConsole(t *testing.T) {
	if form != embedded {
		t.Skip("all tests are of another form")
	}
	bin := consoleDir(t)
	for _, python := range venv.OldestAndNewest(t) {
		t.Run(python.Version, func(t *testing.T) {
			t.Parallel()
			shortList(t, bin, venv.Get(t, python, requirements...))
		})
	}
}

func shortList(t *testing.T, bin string, env venv.Env) {
	for _, driver := range shortDrivers {
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
	t.Run("without C", func(t *testing.T) {
		runScripts(t, pureDir(t), "form", venv.Get(t, venv.Newest(t), requirements...), "")
	})
	t.Run("console", func(t *testing.T) {
		runScripts(t, consoleDir(t), "form", venv.Get(t, venv.Newest(t), requirements...), "")
	})
}
