package tests

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
)

// wantAnswered is that a query of the application's gets by: it waits behind the migration,
// which has what it needs or waits for it, and no more than that makes way.
func wantAnswered(t *testing.T, p *project, run *process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for len(p.query(t, "SELECT mode FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'busy'::regclass")) == 0 {
		if ctx.Err() != nil {
			t.Fatalf("the migration does not ask for the table:\n%s", run.stderr.String())
		}
		time.Sleep(10 * time.Millisecond)
	}
	conn := pgtest.Shared(t).Connect(t, p.database())
	defer conn.Close(context.Background())
	if _, err := conn.Exec(ctx, "SELECT FROM busy"); err != nil {
		t.Fatalf("%v:\n%s", err, run.stderr.String())
	}
}

const hasWaited = `1 query has waited behind this migration for longer than 500ms \(--polite\)`

// A migration that waits for its lock makes way for what waits behind it, and is begun again.
func TestPoliteWhileItWaits(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers[2:] {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			p, release := busy(t, driver)
			run := p.start(t, "upgrade", "head", "--polite", "500ms", "--lock-retries", "40")
			wantAnswered(t, p, run)
			run.until(t, hasWaited+`\nStepped back: \S+ is at 0001; next try in`)
			release()
			run.wantStatus(t, 0)
			p.wantRan(t, 2)
			wantNobodyBut(t, p, 1)
		})
	}
}

// It does so too where it has the lock: the statement is ended, or the next one not begun.
func TestPoliteWhileItHolds(t *testing.T) {
	t.Parallel()
	for name, work := range map[string]string{
		"query":      `op.execute("SELECT pg_sleep(600)")`,
		"statements": `while time.sleep(0.05) is None: op.execute("SELECT 1")`,
	} {
		for i, driver := range shortDrivers[1:] {
			t.Run(name+"/"+driver, func(t *testing.T) {
				t.Parallel()
				p, release := busy(t, driver)
				release()
				file := filepath.Join(t.TempDir(), "once")
				p.replace(t, 2, "sa.Text))", fmt.Sprintf("sa.Text))\n    if not os.path.exists(%q):\n        open(%[1]q, 'w').close()\n        %s", file, work))
				args := []string{"upgrade", "head", "--polite", "500ms"}
				if i == 0 { // without it, that is the end
					args = append(args, "--lock-retries", "3")
				}
				run := p.start(t, args...)
				wantAnswered(t, p, run)
				if i == 0 {
					run.wantError(t, 0, hasWaited)
					p.wantRan(t, 2)
					return
				}
				run.wantError(t, 6, `Error: 0002 \(\S+:\d+\) failed and was rolled back; \S+ is at 0001\nthe database was busy: `+hasWaited)
				p.wantRan(t, 1)
			})
		}
	}
}

// wantNobodyBut is that no more than so many sessions are left in the project's database.
func wantNobodyBut(t *testing.T, p *project, n int) {
	t.Helper()
	count := `SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database()
		AND pid <> pg_backend_pid() AND backend_type = 'client backend'`
	for deadline := time.Now().Add(soon); p.query(t, count)[0] != strconv.Itoa(n); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(p.query(t, "SELECT application_name || query FROM pg_stat_activity WHERE datname = current_database()"))
		}
	}
}

// A watcher that has lost its connection says so. An interrupt is none of it.
func TestPoliteIsInterrupted(t *testing.T) {
	t.Parallel()
	for i, driver := range shortDrivers[1:] {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, driver)
			p.revise(t, say+`op.execute("SELECT pg_sleep(600)")`)
			run := p.start(t, "upgrade", "head", "--polite", "500ms", "--lock-retries", "3")
			run.until(t, "now")
			p.query(t, "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE application_name LIKE 'reflex db polite%' AND datname = current_database()")
			run.until(t, "--polite does not watch any more who waits behind the migration: ")
			wantInterrupted(t, run, signals[i])
			wantNobody(t, p)
		})
	}
}

// Where nobody can tell who waits behind the migration, nothing is run.
func TestPoliteBehindAPooler(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	direct := server.NewDatabase(t)
	p := newProjectOn(t, t.TempDir(), withDriver(pgtest.PgBouncer(t, server, direct, "transaction"), drivers[2]))
	p.revise(t, "pass")
	p.start(t, "upgrade", "head", "--polite", "1s", "--no-lock").wantError(t, 2, "can't tell who waits behind the migration: a pooler hides it")
	server.Exec(t, "postgres", fmt.Sprintf("CREATE ROLE other LOGIN PASSWORD '%s'", pgtest.Password))
	p.url = withDriver(direct, drivers[2])
	cmd := p.command(t, "upgrade", "head", "--polite", "1s", "--no-lock")
	cmd.Env = append(cmd.Env, "REFLEX_DB_LOCK_URL="+strings.Replace(direct, "//app:", "//other:", 1))
	startProcess(t, cmd).wantError(t, 4, "--polite takes one more connection .* its role is not told of the migration's session")
}

// The soak: whatever holds the table, no query of fifty clients waits for longer than TIME
// and a second behind the migration.
func TestPoliteUnderLoad(t *testing.T) {
	if os.Getenv(envRounds) == "" {
		t.Skip("`make soak` runs it")
	}
	const clients, limit = 50, time.Second
	server := pgtest.Start(t, pgtest.Setting("max_connections", strconv.Itoa(clients+20)))
	p := newProjectOn(t, t.TempDir(), withDriver(server.NewDatabase(t), drivers[2]))
	p.revise(t, "op.create_table('busy', sa.Column('i', sa.Integer))")
	p.succeed(t, "upgrade", "head")
	p.revise(t, "op.add_column('busy', sa.Column('note', sa.Text))")
	ctx, cancel := context.WithCancel(context.Background())
	longest := make([]time.Duration, clients)
	var at sync.WaitGroup
	for i := range clients {
		conn := server.Connect(t, p.database())
		at.Go(func() {
			for ctx.Err() == nil {
				begun := time.Now()
				if _, err := conn.Exec(context.Background(), "SELECT FROM busy"); err != nil {
					t.Error(err)
					return
				}
				longest[i] = max(longest[i], time.Since(begun))
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	holder := server.Connect(t, p.database())
	if _, err := holder.Exec(ctx, "BEGIN; SELECT FROM busy"); err != nil {
		t.Fatal(err)
	}
	run := p.start(t, "upgrade", "head", "--polite", limit.String(), "--lock-retries", "40")
	run.until(t, `\(3 of 40\)`)
	if _, err := holder.Exec(ctx, "COMMIT"); err != nil {
		t.Fatal(err)
	}
	run.wantStatus(t, 0)
	cancel()
	at.Wait()
	for i, took := range longest {
		if took > limit+time.Second {
			t.Errorf("client %d has waited for %s", i, took)
		}
	}
	p.wantRan(t, 2)
}
