package tests

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
)

// busy is a project whose second revision needs the table busy, and who holds that: a
// session that idles in a transaction. The function ends the transaction.
func busy(t *testing.T, driver string) (*project, func()) {
	t.Helper()
	server := pgtest.Shared(t)
	url := server.NewDatabase(t)
	p := newProjectOn(t, t.TempDir(), withDriver(url, driver))
	p.revise(t, "op.create_table('busy', sa.Column('i', sa.Integer))")
	p.succeed(t, "upgrade", "head")
	p.revise(t, "op.add_column('busy', sa.Column('note', sa.Text))")
	holder := server.Connect(t, p.database())
	t.Cleanup(func() { _ = holder.Close(context.Background()) })
	run := func(sql string) {
		if _, err := holder.Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
	run("SET application_name = 'nightly-report'")
	run("BEGIN")
	run("SELECT * FROM busy")
	return p, func() { run("COMMIT") }
}

const inTheWay = `aiting for table busy: held by pid \d+ "nightly-report" \(app@(local socket|127\.0\.0\.1)\), idle in transaction for \d+s`

// A migration that waits for a lock says for what, and who has it; so does `status`.
func TestWhoIsInTheWay(t *testing.T) {
	for _, driver := range drivers[2:] {
		t.Run(driver, func(t *testing.T) {
			p, release := busy(t, driver)
			run := p.start(t, "upgrade", "head")
			run.until(t, "W"+inTheWay)
			if lock := p.standing(t).Lock; lock == nil || !regexp.MustCompile("w"+inTheWay).MatchString(lock.Waits) {
				t.Errorf("status says of the lock: %+v", lock)
			}
			release()
			run.wantStatus(t, 0)
			p.wantRan(t, 2)
		})
	}
}

// Who waits behind the migration is counted.
func TestWhoWaitsBehind(t *testing.T) {
	p, release := busy(t, drivers[2])
	run := p.start(t, "upgrade", "head", "--ddl-lock-timeout", "60s")
	behind := pgtest.Shared(t).Connect(t, p.database())
	defer behind.Close(context.Background())
	waits := pgtest.Shared(t).Connect(t, p.database())
	defer waits.Close(context.Background())
	for blocked := false; !blocked; {
		err := waits.QueryRow(context.Background(),
			"SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'busy'::regclass)").Scan(&blocked)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := behind.Exec(context.Background(), "SELECT * FROM busy")
		answered <- err
	}()
	run.until(t, inTheWay+"; 1 query waits behind this migration")
	release()
	run.wantStatus(t, 0)
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// The timeout ends the wait: with an exit status of its own, and one message.
func TestBusyDatabase(t *testing.T) {
	for _, driver := range drivers[2:] {
		t.Run(driver, func(t *testing.T) {
			p, release := busy(t, driver)
			run := p.start(t, "upgrade", "head", "--ddl-lock-timeout", "2s")
			run.wantError(t, 6, `(?s)Error: 0002 \(\S+:\d+\) failed and was rolled back; \S+ is at 0001\nthe database was busy: .*lock timeout\nw`+inTheWay+`.*status. shows where`)
			if text := run.stderr.String(); strings.Contains(text, "Traceback") {
				t.Errorf("there is a traceback:\n%s", text)
			}
			p.wantRan(t, 1)
			release()
			p.succeed(t, "upgrade", "head")
			p.wantRan(t, 2)
		})
	}
}

// A statement that is only slow is asked about, and nothing is said.
func TestNobodyIsInTheWay(t *testing.T) {
	p := newProjectOn(t, t.TempDir(), withDriver(pgtest.Shared(t).NewDatabase(t), drivers[2]))
	p.revise(t, `op.execute("SELECT pg_sleep(3)")`)
	run := p.start(t, "upgrade", "head").wantStatus(t, 0)
	if text := run.stderr.String(); strings.Contains(text, "aiting") {
		t.Error(text)
	}
}
