package tests

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
)

// What did not get its lock is rolled back, and begun again until it does. env.py is run
// each time; what it prints, and what Alembic logs of the database, is there once.
func TestLockRetries(t *testing.T) {
	t.Parallel()
	for _, driver := range append([]string{"postgresql+psycopg_async"}, drivers[2:]...) {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			p, release := busy(t, driver)
			p.edit(t, "import", "import builtins, sys; builtins.out = sys.stdout; print('env.py')\nimport")
			p.replace(t, 2, "op.add_column", "print('again', file=out)\n    op.create_table('half', sa.Column('i', sa.Integer))\n    op.add_column")
			// Each try has time to ask who is in the way, with asyncpg on a connection of its own.
			run := p.start(t, "upgrade", "head", "--ddl-lock-timeout", "3s", "--lock-retries", "40")
			run.until(t, "(?s)W"+inTheWay+`\nStepped back: \S+ is at 0001; next try in \d+m?s \(1 of 40\)\n.*W`+inTheWay+`\nStepped back: .* \(2 of 40\)`)
			release()
			run.wantError(t, 0, `1 revision in .*; \S+ is at 0002 \(head\)`)
			p.wantRan(t, 2)
			if n := strings.Count(run.stdout.String(), "again"); n < 3 {
				t.Errorf("of the revision's own there are %d lines:\n%s", n, run.stdout.String())
			}
			for text, where := range map[string]string{"env.py": run.stdout.String(), "Context impl": run.stderr.String()} {
				if n := strings.Count(where, text); n != 1 {
					t.Errorf("%q is there %d times:\n%s", text, n, where)
				}
			}
		})
	}
}

// A number of steps is counted from where the first try has begun, though a revision of it
// is done; --json tells the tries.
func TestLockRetriesKeepTheTarget(t *testing.T) {
	t.Parallel()
	p, release := busy(t, drivers[2])
	p.replace(t, 2, "op.add_column('busy', sa.Column('note', sa.Text))", "pass")
	p.revise(t, "op.add_column('busy', sa.Column('note', sa.Text))")
	p.revise(t, "pass")
	run := p.start(t, "upgrade", "+2", "--ddl-lock-timeout", "500ms", "--lock-retries", "40", "--json")
	run.until(t, `Stepped back: \S+ is at 0002; `)
	// Others are told which session the next try has.
	for len(p.query(t, `SELECT m.objid::text FROM pg_locks m JOIN pg_locks w ON w.pid = m.objid::bigint AND NOT w.granted
		WHERE m.locktype = 'advisory' AND m.objsubid = 2`)) == 0 {
		select {
		case <-run.ended:
			t.Fatal(run.stderr.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	release()
	run.wantStatus(t, 0)
	p.wantRan(t, 3)
	var found struct {
		From, To, Target string
		InTheWay         string `json:"in_the_way"`
		Tries, Revisions int
	}
	if err := json.Unmarshal([]byte(run.stdout.String()), &found); err != nil {
		t.Fatal(err)
	}
	if found.From != "0001" || found.To != "0003" || found.Target != "0003" || found.Revisions != 2 ||
		found.Tries < 2 || !strings.Contains(found.InTheWay, "nightly-report") {
		t.Errorf("%+v", found)
	}
}

// Each of many databases has its own tries.
func TestEachTriesAgain(t *testing.T) {
	t.Parallel()
	p, release := busy(t, drivers[2])
	tries := filepath.Join(t.TempDir(), "tries")
	p.replace(t, 2, "op.add_column", fmt.Sprintf("print(file=open(%q, 'a'))\n    op.add_column", tries))
	other := withDriver(pgtest.Shared(t).NewDatabase(t), drivers[2])
	list, report := p.list(t, "free "+other, "busy "+p.url), filepath.Join(p.dir, "report")
	run := p.start(t, "upgrade", "head", "--ddl-lock-timeout", "2s", "--polite", "60s", "--lock-retries", "40", "--each", list, "--report", report)
	for text := ""; strings.Count(text, "\n") < 3; { // one of them is the other's
		select {
		case <-run.ended:
			t.Fatal(run.stderr.String())
		case <-time.After(10 * time.Millisecond):
			if b, err := os.ReadFile(tries); err == nil {
				text = string(b)
			}
		}
	}
	release()
	run.wantStatus(t, 0)
	found := records(t, report)
	if n := found["free"].Tries; n != 1 {
		t.Errorf("%d tries where nothing was in the way", n)
	}
	if r := found["busy"]; r.Tries < 2 || *r.To != "0002" || !strings.Contains(r.InTheWay, "nightly-report") {
		t.Errorf("%+v", r)
	}
}

// With one transaction for all revisions, that is what is rolled back. The tries have an end,
// and what env.py does to its configuration is gone at the next.
func TestLockRetriesEnd(t *testing.T) {
	t.Parallel()
	p, _ := busy(t, drivers[2])
	p.edit(t, "        transaction_per_migration=True,\n", "")
	p.edit(t, "config = context.config\n", `config = context.config
if config.get_main_option("begun"):
    raise SystemExit("this is no configuration of a new command")
config.set_main_option("begun", "yes")
`)
	p.replace(t, 2, "op.add_column('busy', sa.Column('note', sa.Text))", "pass")
	p.revise(t, "op.add_column('busy', sa.Column('note', sa.Text))")
	p.start(t, "upgrade", "head", "--ddl-lock-timeout", "2s", "--lock-retries", "1").wantError(t, 6,
		`(?s)Stepped back, with 1 revision of the same transaction: \S+ is at 0001; .*`+
			`Error: 0003 \(\S+:\d+\) failed and was rolled back; \S+ is at 0001\nthe database was busy, at all 2 tries: .*\nw`+inTheWay)
	p.wantRan(t, 1)
}

// What has committed a part of itself is not begun again. A CREATE INDEX CONCURRENTLY
// leaves an invalid index, which is named with the statement that removes it.
func TestNotTriedAgain(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers[2:] {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			p, release := busy(t, driver)
			defer release()
			p.replace(t, 2, "op.add_column('busy', sa.Column('note', sa.Text))", `with op.get_context().autocommit_block():
        op.create_index('Busy_i', 'busy', ['i'], postgresql_concurrently=True)`)
			writer := pgtest.Shared(t).Connect(t, p.database())
			defer writer.Close(context.Background())
			if _, err := writer.Exec(context.Background(), "BEGIN; INSERT INTO busy VALUES (1)"); err != nil {
				t.Fatal(err)
			}
			p.start(t, "upgrade", "head", "--ddl-lock-timeout", "500ms", "--lock-retries", "3").wantError(t, 6,
				`(?s)Error: 0002 \(\S+:\d+\) failed; \S+ is at 0001\nthe database was busy: .*`+
					`it was not tried again: what it had committed by then stays\n`+
					`an index is left that is not valid: public."Busy_i"\nNext: .*DROP INDEX CONCURRENTLY public."Busy_i"`)
		})
	}
}

// Neither is what has committed something on a connection of its own.
func TestNotTriedAgainAfterACommitBeside(t *testing.T) {
	t.Parallel()
	p, _ := busy(t, drivers[2])
	p.replace(t, 2, "op.add_column", `with op.get_bind().engine.begin() as beside:
        beside.execute(sa.text("CREATE TABLE kept (i int)"))
    op.add_column`)
	p.start(t, "upgrade", "head", "--ddl-lock-timeout", "500ms", "--lock-retries", "3").wantError(t, 6,
		`(?s)Error: 0002 \(\S+:\d+\) failed; \S+ is at 0001\n.*it was not tried again: what it had committed by then stays`)
}

// A run that has stepped back is idle, and a signal ends it.
func TestInterruptedWhileItHasSteppedBack(t *testing.T) {
	t.Parallel()
	for i, driver := range shortDrivers[1:] {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			p, release := busy(t, driver)
			run := p.start(t, "upgrade", "head", "--ddl-lock-timeout", "100ms", "--lock-retries", "40")
			run.until(t, `\(2 of 40\)`)
			wantInterrupted(t, run, signals[i])
			release()
			p.wantRan(t, 1)
		})
	}
}

// Whatever holds the table is named as far as the server tells, and waited for.
func TestWhateverHoldsTheTable(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Setting("max_prepared_transactions", "2"))
	for name, holder := range map[string]struct {
		run []string // each in turn; the last one may go on until it is cancelled
		end string
		who string
	}{
		"query":     {run: []string{"SELECT pg_sleep(600) FROM busy"}, who: `pid \d+ \(app@\S+( socket)?\), active for \d+(ms|s)`},
		"vacuum":    {run: []string{"SET vacuum_cost_delay = 100", "SET vacuum_cost_limit = 1", "VACUUM (DISABLE_PAGE_SKIPPING) busy"}, who: `pid \d+ \(app@\S+( socket)?\), active for \d+(ms|s)`},
		"prepared":  {run: []string{"BEGIN; SELECT FROM busy; PREPARE TRANSACTION 'it'"}, end: "COMMIT PREPARED 'it'", who: "a prepared transaction"},
		"migration": {run: []string{"BEGIN", "ALTER TABLE busy ADD other int"}, end: "COMMIT", who: `pid \d+ \(app\S+( socket)?\), idle in transaction for \d+(ms|s)`},
		"role":      {run: []string{"BEGIN", "SELECT FROM busy"}, end: "COMMIT", who: `pid \d+ \(app\)`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProjectOn(t, t.TempDir(), withDriver(server.NewDatabase(t), drivers[2]))
			p.revise(t, "op.create_table('busy', sa.Column('i', sa.Integer))")
			p.revise(t, "op.execute('INSERT INTO busy SELECT generate_series(1, 100000)')")
			p.succeed(t, "upgrade", "head")
			p.revise(t, "op.add_column('busy', sa.Column('note', sa.Text))")
			conn := server.Connect(t, p.database())
			if name == "role" {
				server.Exec(t, p.database(), fmt.Sprintf(`CREATE ROLE small LOGIN PASSWORD '%s';
					GRANT ALL ON SCHEMA public TO small; ALTER TABLE busy OWNER TO small;
					ALTER TABLE ran OWNER TO small; ALTER TABLE alembic_version OWNER TO small`, pgtest.Password))
				p.url = strings.Replace(p.url, "//app:", "//small:", 1)
			}
			ctx, cancel := context.WithCancel(context.Background())
			held := make(chan error, 1)
			go func() {
				var err error
				for _, sql := range holder.run {
					_, err = conn.Exec(ctx, sql)
				}
				held <- err
			}()
			// The last statement has begun to hold the table, or has done so.
			for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
				if len(p.query(t, "SELECT 1 FROM pg_locks WHERE relation = 'busy'::regclass AND granted")) > 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("nothing holds the table")
				}
			}
			run := p.start(t, "upgrade", "head", "--ddl-lock-timeout", "500ms", "--lock-retries", "40")
			run.until(t, "Waiting for table busy: held by "+holder.who+`\nStepped back`)
			if holder.end == "" {
				cancel()
				<-held
			} else if <-held; true {
				if _, err := conn.Exec(context.Background(), holder.end); err != nil {
					t.Fatal(err)
				}
			}
			cancel()
			run.wantStatus(t, 0)
			p.wantRan(t, 3)
		})
	}
}
