package venv

import (
	"os/exec"
	"slices"
	"testing"
)

func TestEnvironmentIsReused(t *testing.T) {
	python := Newest(t)
	first := Get(t, python)
	if second := Get(t, python); second != first {
		t.Errorf("got %v, then %v", first, second)
	}
}

// TestOwnPythonIsThere: the tests need no Python of the machine, with or without
// libpython, and those that they bring make environments that have pip.
func TestOwnPythonIsThere(t *testing.T) {
	if len(named()) > 0 || Becomes() {
		t.Skip(EnvPythons + " or " + EnvForm + " says which Pythons to take")
	}
	for form, shared := range map[string]bool{"shared": true, "static": false} {
		file, err := standalone(shared)
		if err != nil {
			t.Fatal(err)
		}
		python, err := probe(file, form)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(Get(t, python).Bin("pip"), "--version").CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", form, err, out)
		}
		if shared && !slices.ContainsFunc(Interpreters(t), func(p Python) bool { return p.Version == python.Version }) {
			t.Errorf("%v is not in %v", python, Interpreters(t))
		}
	}
}
