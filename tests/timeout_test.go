package tests

import (
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
)

// PostgreSQL counts in milliseconds, and takes 0 for no timeout at all.
func TestShortTimeoutIsNotOff(t *testing.T) {
	t.Parallel()
	p := newProjectOn(t, t.TempDir(), withDriver(pgtest.Shared(t).NewDatabase(t), "postgresql+psycopg"))
	p.revise(t, `for name in "lock_timeout", "statement_timeout":
    print(name, op.get_bind().exec_driver_sql("SHOW " + name).scalar(), file=sys.stderr)`)
	run := p.start(t, "upgrade", "head", "--ddl-lock-timeout", "0.4ms", "--statement-timeout", "0").wantStatus(t, 0)
	if text := run.stderr.String(); !strings.Contains(text, "lock_timeout 1ms\nstatement_timeout 0\n") {
		t.Error(text)
	}
}
