package tests

import (
	"syscall"
	"testing"
	"time"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
)

// A connection that failed is over: a run whose env.py went on to another is not
// abandoned as one that still connects, however long the code in C takes that
// the signal meets.
func TestInterruptedAfterAFailedConnection(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	p.revise(t, `import hashlib
from sqlalchemy import create_engine
try:
    create_engine("postgresql+psycopg://u@127.0.0.1:1/x").connect()
except Exception:
    pass
try:
    sys.stderr.write("now\n"); sys.stderr.flush()
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", 6_000_000)
finally:
    print("cleaned up", file=sys.stderr, flush=True)`)
	run := p.start(t, "upgrade", "head")
	run.until(t, "now")
	run.signal(t, syscall.SIGINT)
	run.wantError(t, 130, "(?s)cleaned up.*interrupted")
}

// A PgBouncer whose server is down accepts its clients, and lets them wait or
// tells them at their first statement. That is waited for, and no longer than
// --wait says.
func TestWaitBehindAPooler(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers[2:] {
		t.Run(driver, func(t *testing.T) {
			server := pgtest.Start(t)
			url := pgtest.PgBouncer(t, server, server.NewDatabase(t), "session", "server_login_retry = 1")
			p := newProjectOn(t, t.TempDir(), withDriver(url, driver))
			p.revise(t, "pass")
			server.Stop(syscall.SIGINT)

			start := time.Now()
			p.start(t, "upgrade", "head", "--wait", "12s").
				wantError(t, 4, "(?s)Waited 12s.*The database can't be reached")
			if took := time.Since(start); took < 12*time.Second || took > 20*time.Second {
				t.Errorf("--wait 12s took %s", took)
			}

			run := p.start(t, "upgrade", "head", "--wait", "60s")
			run.until(t, "Waiting for the database")
			if err := server.Resume(); err != nil {
				t.Fatal(err)
			}
			run.wantStatus(t, 0)
		})
	}
}
