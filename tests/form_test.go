package tests

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// TestBecome runs the command where it becomes a Python that uses no libpython. It is a
// short list; `make test-become` runs all the tests in this way.
func TestBecome(t *testing.T) {
	if form != embedded {
		t.Skip("all tests are of another form")
	}
	shortList(t, reflexDir(t), venv.Get(t, venv.Static(t), requirements...))
}

// TestWithoutC runs the program that is built without cgo, as for musl, macOS and Windows:
// it becomes a Python that uses a libpython too.
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

// What `reflex version` says of libpython is so in env.py's process, and says why.
func TestVersionSaysTheForm(t *testing.T) {
	if form != embedded {
		t.Skip("all tests are of another form")
	}
	newest, static := venv.Get(t, venv.Newest(t), requirements...), venv.Get(t, venv.Static(t), requirements...)
	const itself = `not used: this process is Python itself`
	for name, c := range map[string]struct {
		bin    string
		python venv.Env
		before string // of the shell
		says   string
		is     string // the program of the process
	}{
		"embedded":        {goDir(t), newest, "", `/\S*/libpython3\S*, which this Python uses too`, "reflex"},
		"static":          {goDir(t), static, "", itself + `, because this Python uses none`, "python"},
		"little room":     {goDir(t), newest, "ulimit -v 3900000;", itself + `, because a limit of address space \(ulimit -v\) leaves too little for Go and Python`, "python"},
		"built without C": {pureDir(t), newest, "", itself + `, because this program is built without cgo`, "python"},
		"script":          {consoleDir(t), newest, "", itself, "python"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t, "sqlite")
			p.python = c.python
			p.edit(t, "", "import os\nprint('SEEN', os.path.basename(os.readlink('/proc/self/exe')))\n")
			run := func(args ...string) string {
				cmd := p.command(t)
				cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", c.before + ` exec "$0" "$@"`, filepath.Join(c.bin, "reflex")}, args...)
				return startProcess(t, cmd).wantStatus(t, 0).stdout.String()
			}
			if said := run("version"); !regexp.MustCompile(`(?m)^libpython +` + c.says + `$`).MatchString(said) {
				t.Errorf("version says\n%s", said)
			}
			if seen := run("db", "current"); !strings.HasPrefix(seen, "SEEN "+c.is) {
				t.Errorf("the process is\n%s", seen)
			}
		})
	}
}
