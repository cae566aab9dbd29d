package tests

import (
	"syscall"
	"testing"
)

// A connection that failed is over: a run whose env.py went on to another is not
// abandoned as one that still connects, however long the code in C takes that
// the signal meets.
func TestInterruptedAfterAFailedConnection(t *testing.T) {
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
