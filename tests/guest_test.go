package tests

import (
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// TestGuest runs the command in a Python that has no libpython. It is a short
// list; `make test-guest` runs all the tests in this way.
func TestGuest(t *testing.T) {
	if venv.Guest() {
		t.Skip("all tests are of the guest")
	}
	env := venv.Get(t, venv.Static(t), requirements...)
	bin, err := withGuest()
	if err != nil {
		t.Fatal(err)
	}
	for _, driver := range []string{"sqlite", "postgresql+psycopg", "postgresql+asyncpg"} {
		t.Run(driver, func(t *testing.T) { runScripts(t, bin, "every", env, driver) })
	}
}

// TestGuestIsUnnoticeable runs testdata/guest, where a project looks for what the
// guest could have changed.
func TestGuestIsUnnoticeable(t *testing.T) {
	env := venv.Get(t, venv.Static(t), requirements...)
	bin, err := withGuest()
	if err != nil {
		t.Fatal(err)
	}
	runScripts(t, bin, "guest", env, "")
}
