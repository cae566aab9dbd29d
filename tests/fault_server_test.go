package tests

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
)

// Each fault meets the third of three revisions, after it has made a table:
// the two before it are recorded, of the third nothing is.
func stoppedInTheThird(t *testing.T, driver, url, third string) *project {
	t.Helper()
	p := newProjectOn(t, t.TempDir(), withDriver(url, driver))
	p.reviseMany(t, 2)
	p.revise(t, "op.create_table('half', sa.Column('i', sa.Integer))\n"+third)
	p.replace(t, 3, "INSERT INTO ran VALUES", "INSERT INTO ran (revision) VALUES")
	return p
}

func (p *project) wantNothingOfTheThird(t *testing.T) {
	t.Helper()
	p.wantRan(t, 2)
	if strings.Contains(p.schema(t), "half") {
		t.Error("the third revision's table is there")
	}
}

func TestServerStops(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers[2:] {
		for name, how := range map[string]syscall.Signal{"fast": syscall.SIGINT, "crash": syscall.SIGQUIT} {
			t.Run(driver+"/"+name, func(t *testing.T) {
				// What was committed is to survive, so it must be on the disk.
				server := pgtest.Start(t, pgtest.Setting("synchronous_commit", "on"))
				p := stoppedInTheThird(t, driver, server.NewDatabase(t), say+`op.execute("SELECT pg_sleep(600)")`)
				run := p.start(t, "upgrade", "head")
				run.until(t, "now")
				server.Stop(how)
				run.wantError(t, 1, "(?s)Error: 0003 .*Next: once the server answers, give the same command again; if the connection is lost again, see alembic/versions/0003.py")
				p.start(t, "upgrade", "head").wantError(t, 4, "can't be reached")
				if err := server.Resume(); err != nil {
					t.Fatal(err)
				}
				p.wantNothingOfTheThird(t)
			})
		}
	}
}

// --wait is for a server that comes up later, and is over when its time is.
func TestWaitForAServer(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	url := server.NewDatabase(t)
	for _, driver := range drivers[2:] {
		p := newProjectOn(t, t.TempDir(), withDriver(url, driver))
		p.revise(t, "pass")
		server.Stop(syscall.SIGINT)
		p.start(t, "upgrade", "head", "--wait", "300ms").wantError(t, 4, "(?s)^Waiting for the database: .*\nWaited 300ms.*Error: The database can't be reached.*(refused|Connect call failed)")
		run := p.start(t, "upgrade", "head", "--wait", "60s")
		select {
		case <-run.ended:
			t.Fatalf("%s: it did not wait:\n%s", driver, run.stderr.String())
		case <-time.After(2 * time.Second): // long enough to have tried
		}
		if err := server.Resume(); err != nil {
			t.Fatal(err)
		}
		run.wantStatus(t, 0)
		p.wantRan(t, 1)
		p.query(t, "DROP TABLE ran, alembic_version")
	}
}

func TestServerIsOutOfConnections(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Setting("max_connections", "4"), pgtest.Setting("superuser_reserved_connections", "0"),
		pgtest.Setting("max_wal_senders", "0"))
	url := server.NewDatabase(t)
	for _, driver := range drivers[2:] {
		t.Run(driver, func(t *testing.T) {
			p := newProjectOn(t, t.TempDir(), withDriver(url, driver))
			p.revise(t, "pass")
			// Three are taken: the migration gets the last, and its lock none.
			for i := range 4 {
				conn := server.Connect(t, "postgres")
				defer conn.Close(context.Background())
				if i == 2 {
					p.start(t, "upgrade", "head").wantError(t, 4, "(?s)connection for the migration lock failed.*too many clients")
				}
			}
			p.start(t, "upgrade", "head").wantError(t, 4, "too many clients")
		})
	}
}

func TestStatementTimeout(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers[2:] {
		t.Run(driver, func(t *testing.T) {
			p := stoppedInTheThird(t, driver, pgtest.Shared(t).NewDatabase(t), `op.execute("SELECT pg_sleep(600)")`)
			p.start(t, "upgrade", "head", "--statement-timeout", "2s").wantError(t, 1, "statement timeout")
			p.wantNothingOfTheThird(t)
		})
	}
}

// --ddl-lock-timeout ends the wait for a table that somebody else holds; in an
// autocommit block it is set as well.
func TestDDLLockTimeout(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"transaction": "op.execute('LOCK TABLE busy')",
		"autocommit":  "with op.get_context().autocommit_block():\n    op.execute('DROP TABLE busy')",
	} {
		for _, driver := range drivers[2:] {
			t.Run(driver+"/"+name, func(t *testing.T) {
				url := pgtest.Shared(t).NewDatabase(t)
				third := "op.drop_table('half')\n" + body // what comes before an autocommit block is committed
				p := stoppedInTheThird(t, driver, url, third)
				p.query(t, "CREATE TABLE busy (i int)")
				server := pgtest.Shared(t)
				other := server.Connect(t, url[strings.LastIndexByte(url, '/')+1:])
				defer other.Close(context.Background())
				if _, err := other.Exec(context.Background(), "BEGIN; LOCK TABLE busy"); err != nil {
					t.Fatal(err)
				}
				p.start(t, "upgrade", "head", "--ddl-lock-timeout", "200ms").wantError(t, 6, "lock timeout")
				p.wantNothingOfTheThird(t)
			})
		}
	}
	p := newProject(t, "sqlite")
	p.revise(t, "pass")
	p.start(t, "upgrade", "head", "--ddl-lock-timeout", "1s").wantError(t, 2, "PostgreSQL's; this database is sqlite")
}

func TestDiskIsFull(t *testing.T) {
	t.Parallel()
	mount := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=2m", "none", mount).CombinedOutput(); err != nil {
		t.Skipf("no file system can be mounted here: %s", out)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(mount, 0); err != nil {
			t.Error(err)
		}
	})
	server := pgtest.Start(t)
	if err := server.Own(mount); err != nil {
		t.Fatal(err)
	}
	for dir := mount; dir != os.TempDir() && len(dir) > 1; dir = filepath.Dir(dir) {
		_ = os.Chmod(dir, 0o755) // for the server's user
	}
	server.Exec(t, "postgres", fmt.Sprintf("CREATE TABLESPACE small LOCATION '%s'", mount))
	for _, driver := range drivers[2:] {
		t.Run(driver, func(t *testing.T) {
			p := stoppedInTheThird(t, driver, server.NewDatabase(t),
				`op.execute("CREATE TABLE big TABLESPACE small AS SELECT repeat('x', 1000) FROM generate_series(1, 10000)")`)
			p.start(t, "upgrade", "head").wantError(t, 1, "No space left on device")
			p.wantNothingOfTheThird(t)
		})
	}
}

// Nothing but the database can be written: not the project, not HOME, not TMPDIR.
func TestReadOnlyFileSystem(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers[2:] {
		t.Run(driver, func(t *testing.T) {
			p := newProject(t, driver)
			p.reviseMany(t, 3)
			readOnly(t, p.dir)
			p.env = []string{"HOME=" + p.dir, "TMPDIR=" + p.dir, "XDG_CACHE_HOME=" + p.dir}
			p.succeed(t, "upgrade", "head")
			p.succeed(t, "current")
			p.wantRan(t, 3)
		})
	}
}

// readOnly makes dir read-only, for root too.
func readOnly(t *testing.T, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
		return
	}
	for _, args := range [][]string{{"--bind", dir, dir}, {"-o", "remount,ro,bind", dir}} {
		if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
			t.Skipf("no directory can be mounted read-only here: %s", out)
		}
		if args[0] == "--bind" {
			t.Cleanup(func() {
				if err := syscall.Unmount(dir, 0); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// A revision that fails half way, on SQLite, leaves the database as it was.
// (Interrupted ones are in TestInterruptedMigration.)
func TestFailedRevisionOnSQLite(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers[:2] {
		t.Run(driver, func(t *testing.T) {
			p := newProject(t, driver)
			p.reviseMany(t, 2)
			p.succeed(t, "upgrade", "head")
			before := p.schema(t)
			p.revise(t, `op.create_table('half', sa.Column('i', sa.Integer))
op.execute("DELETE FROM ran")
with op.batch_alter_table('t1') as batch:
    batch.add_column(sa.Column('late', sa.Integer))
raise ValueError("half way")`)
			p.start(t, "upgrade", "head").wantError(t, 1, "half way")
			if after := p.schema(t); after != before {
				t.Errorf("it was\n%s\nand is\n%s", before, after)
			}
			if journals, _ := filepath.Glob(filepath.Join(p.dir, "app.db-*")); len(journals) > 0 {
				t.Errorf("left: %s", journals)
			}
		})
	}
}
