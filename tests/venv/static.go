package venv

import (
	"os"
	"testing"
)

// EnvForm names the way in which the tests of the command start it: see tests/main_test.go.
// With "become", Interpreters are those of Static.
const EnvForm = "REFLEX_TEST_FORM"

// Becomes reports whether the tests have the command become a Python that uses no libpython.
func Becomes() bool { return os.Getenv(EnvForm) == "become" }

// Static is a Python that uses no libpython: one of this machine, such as Debian's own, or
// else the one that the tests bring. A libpython may lie beside it. Where that can't be had
// the test is skipped.
func Static(t testing.TB) Python {
	t.Helper()
	for _, candidate := range candidates() {
		if python, err := probe(candidate, "static"); err == nil {
			return python
		}
	}
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
