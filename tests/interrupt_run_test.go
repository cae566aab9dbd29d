package tests

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var signals = []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}

// soon is far less than what is interrupted takes, and enough for a machine
// that does much else. (On an idle one it is a few tenths of a second.)
const soon = 20 * time.Second

// wantInterrupted signals run and waits for its end.
func wantInterrupted(t *testing.T, run *process, s syscall.Signal) {
	t.Helper()
	run.signal(t, s)
	select {
	case <-run.ended:
	case <-time.After(soon):
		t.Fatalf("%v has not ended it:\n%s", s, run.stderr.String())
	}
	run.wantError(t, 128+int(s), "(interrupted|terminated)")
}

// wantNobody is that the project's database has no connection left, and no lock.
func wantNobody(t *testing.T, p *project) {
	t.Helper()
	if p.onSQLite() {
		return
	}
	var left []string
	for deadline := time.Now().Add(soon); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		left = p.query(t, `SELECT application_name || ': ' || query FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`)
		if len(left) == 0 {
			return
		}
	}
	t.Errorf("left on the server: %s", left)
}

// say makes a migration tell stderr where it is.
const say = `sys.stderr.write("now\n"); sys.stderr.flush()
`

// Whatever a migration does, a signal ends it: its transaction is rolled back,
// the lock is released, nothing goes on running on the server.
func TestInterruptedMigration(t *testing.T) {
	t.Parallel()
	long := map[bool]string{
		true:  `op.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000000000) SELECT sum(i) FROM n")`,
		false: `op.execute("SELECT pg_sleep(600)")`,
	}
	for _, driver := range drivers {
		work := map[string]string{
			"query":  long[strings.HasPrefix(driver, "sqlite")],
			"sleep":  "time.sleep(600)",
			"python": "while True: sum(range(100))",
		}
		p := newProject(t, driver)
		p.revise(t, "pass")
		p.revise(t, "")
		template, err := os.ReadFile(filepath.Join(p.dir, "alembic", "versions", "0002.py"))
		if err != nil {
			t.Fatal(err)
		}
		p.succeed(t, "upgrade", "0001")
		for what, body := range work {
			for _, s := range signals {
				t.Run(fmt.Sprintf("%s/%s/%v", driver, what, s), func(t *testing.T) {
					p := *p
					text := strings.Replace(string(template), "def upgrade():", "def upgrade():\n    op.create_table('half', sa.Column('i', sa.Integer))\n    "+
						strings.ReplaceAll(say+body, "\n", "\n    "), 1)
					p.replace(t, 2, mustRead(t, p.dir, "0002.py"), text)
					run := p.start(t, "upgrade", "head")
					run.until(t, "now")
					wantInterrupted(t, run, s)
					wantNobody(t, &p)
					p.wantRan(t, 1)
					if strings.Contains(p.schema(t), "half") {
						t.Error("the table of the interrupted revision is there")
					}
				})
			}
		}
	}
}

func mustRead(t testing.TB, dir, revision string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "alembic", "versions", revision))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestInterruptedWhileItWaitsForTheLock(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"sqlite", "postgresql+psycopg"} {
		p, _ := holding(t, driver)
		for _, s := range signals {
			t.Run(fmt.Sprintf("%s/%v", driver, s), func(t *testing.T) {
				run := p.start(t, "upgrade", "head")
				run.until(t, "Waiting for another migration")
				wantInterrupted(t, run, s)
			})
		}
	}
}

// A server that takes connections and says nothing, as one behind a broken
// network does.
func TestInterruptedWhileItConnects(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, driver := range drivers[2:] {
		p := newProjectOn(t, t.TempDir(), fmt.Sprintf("%s://app@%s/nothing", driver, listener.Addr()))
		p.revise(t, "pass")
		for _, args := range [][]string{{"upgrade", "head"}, {"upgrade", "head", "--wait", "10m"}} {
			if len(args) > 2 && driver != "postgresql+psycopg" {
				continue // Go waits, whatever the driver
			}
			for _, s := range signals {
				t.Run(fmt.Sprintf("%s/%v/%v", driver, args[2:], s), func(t *testing.T) {
					run := p.start(t, args...)
					conn, err := listener.Accept()
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					wantInterrupted(t, run, s)
				})
			}
		}
	}
}

// A migration that takes no notice of the first signal is ended by the second.
func TestSecondInterruptEndsAtOnce(t *testing.T) {
	t.Parallel()
	for _, s := range signals {
		t.Run(s.String(), func(t *testing.T) {
			p := newProject(t, "postgresql+psycopg")
			p.revise(t, `while True:
    try:
        sys.stderr.write("on\n"); sys.stderr.flush()
        time.sleep(600)
    except BaseException as exc:
        sys.stderr.write(f"not for me: {type(exc).__name__}\n"); sys.stderr.flush()`)
			run := p.start(t, "upgrade", "head")
			run.until(t, "on\n")
			run.signal(t, s)
			run.until(t, "not for me")
			run.signal(t, s)
			run.wantStatus(t, 128+int(s))
			wantNobody(t, p)
		})
	}
}
