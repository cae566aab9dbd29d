package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// Each with a wheel; mysqlclient has none, and is built from its source.
var mariaDBDrivers = []string{"mysql+pymysql", "mysql+aiomysql", "mariadb+asyncmy", "mysql+mysqldb"}

// A mariaDB is a server and the environment for each of its drivers.
type mariaDB struct {
	*pgtest.MariaDBServer
	databases atomic.Int64
}

func startMariaDB(t *testing.T) *mariaDB {
	return &mariaDB{MariaDBServer: pgtest.MariaDB(t)}
}

// newProject is a project on a new database; skipped where the driver can't be had.
func (m *mariaDB) newProject(t *testing.T, driver string) *project {
	t.Helper()
	packages, python := append([]string{}, requirements...), venv.Newest(t)
	if driver == "mysql+mysqldb" {
		python = mysqlclient(t)
		packages = append(packages, "mysqlclient")
	} else {
		packages = append(packages, "pymysql", "aiomysql", "asyncmy")
	}
	name := fmt.Sprintf("test%d", m.databases.Add(1))
	p := newProjectOn(t, t.TempDir(), m.URL(driver, ""))
	p.python = venv.Get(t, python, packages...)
	p.ask(t, "CREATE DATABASE "+name)
	p.url = m.URL(driver, name)
	return p
}

// mysqlclient is the newest Python that it can be built for; it has no wheels. That
// takes MariaDB's headers, and Python's.
func mysqlclient(t *testing.T) venv.Python {
	t.Helper()
	pythons := slices.DeleteFunc(slices.Clone(venv.Interpreters(t)), func(p venv.Python) bool { return !p.Headers })
	if len(pythons) == 0 {
		t.Skip("mysqlclient can't be built: no Python here has its headers")
	}
	if _, err := exec.LookPath("mariadb_config"); err != nil {
		pgtest.InstallDebian(t, "libmariadb-dev")
	}
	if _, err := exec.LookPath("pkg-config"); err != nil {
		pgtest.InstallDebian(t, "pkg-config")
	}
	return pythons[len(pythons)-1]
}

// ask runs a statement past everything that is tested, by the driver that the
// environment has, and gives the first column of each row.
func (p *project) ask(t testing.TB, sql string) []string {
	t.Helper()
	url := p.url
	for _, driver := range []string{"mysql+aiomysql", "mariadb+asyncmy"} {
		url = strings.Replace(url, driver+":", "mysql+pymysql:", 1)
	}
	cmd := exec.Command(p.python.Bin("python"), "-c", `
import sys
from sqlalchemy import create_engine
with create_engine(sys.argv[1], isolation_level="AUTOCOMMIT").connect() as connection:
    result = connection.exec_driver_sql(sys.argv[2])
    for row in result if result.returns_rows else ():
        print(row[0])`, url, sql)
	cmd.Env = venv.CleanEnv()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", sql, err, out)
	}
	return strings.Fields(string(out))
}

func (p *project) wantRanOnMariaDB(t *testing.T, n int) {
	t.Helper()
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("%04d", i+1))
	}
	if got := p.ask(t, "SELECT revision FROM ran ORDER BY 1"); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("these revisions have run: %s; want the first %d, each once", got, n)
	}
	if got := p.ask(t, "SELECT version_num FROM alembic_version"); len(got) != 1 || got[0] != fmt.Sprintf("%04d", n) {
		t.Errorf("the version table says %s, want %04d", got, n)
	}
}

const stays = "this database can't take DDL back, so what the revision had done stays"

func wantNotTakenBack(t *testing.T, run *process) {
	t.Helper()
	if text := run.stderr.String(); !strings.Contains(text, stays) || strings.Contains(text, "rolled back") {
		t.Errorf("it does not say that what was done stays:\n%s", text)
	}
}

func TestMariaDB(t *testing.T) {
	t.Parallel()
	server := startMariaDB(t)
	for _, driver := range mariaDBDrivers {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			t.Run("eight at once", func(t *testing.T) {
				p := server.newProject(t, driver)
				p.reviseMany(t, 3)
				var runs []*process
				for range crowd / 2 {
					runs = append(runs, p.start(t, "upgrade", "head"))
				}
				for _, run := range runs {
					run.wantStatus(t, 0)
					if text := run.stderr.String(); strings.Contains(text, "Traceback") || strings.Contains(text, "Warning") {
						t.Errorf("it ends with\n%s", text)
					}
				}
				p.wantRanOnMariaDB(t, 3)
			})
			// The rows of a result that is open are not lost by the lock's questions.
			t.Run("a streamed result", func(t *testing.T) {
				p := server.newProject(t, driver)
				p.edit(t, "    schemas = model_schemas()\n", `    schemas = model_schemas()
    from sqlalchemy import text
    rows = options["connection"].execute(text("SELECT seq FROM seq_1_to_5000"), execution_options={"stream_results": True})
    rows.fetchone()
`)
				// With a transaction of its own open, Alembic leaves the commit to env.py.
				p.edit(t, "    with context.begin_transaction():\n        context.run_migrations()\n", `    print(len(rows.fetchall()), "rows")
    with context.begin_transaction():
        context.run_migrations()
    options["connection"].commit()
`)
				p.revise(t, "pass")
				bare := p.alembic(t, "upgrade", "0001").wantStatus(t, 0)
				p.revise(t, "pass")
				got := p.succeed(t, "upgrade", "head")
				same(t, "stdout", "4999 rows\n", bare.stdout.String())
				same(t, "stdout", bare.stdout.String(), got.stdout.String())
				if text := got.stderr.String(); strings.Contains(text, "Warning") {
					t.Error(text)
				}
			})
			// The server ends what idles for a second, but not who waits for the lock.
			t.Run("timeout, and the holder is killed", func(t *testing.T) {
				p := server.newProject(t, driver)
				engine := makesEngine
				if strings.HasSuffix(driver, "aiomysql") || strings.HasSuffix(driver, "asyncmy") {
					engine = makesAsync
				}
				p.edit(t, engine, strings.Replace(engine, "url,", "url, connect_args={'init_command': 'SET SESSION wait_timeout = 1'},", 1))
				file := filepath.Join(t.TempDir(), "pid")
				p.revise(t, "pass")
				p.revise(t, holdUp(file)+"\nprint(op.get_bind().exec_driver_sql('SELECT @@SESSION.wait_timeout').scalar())")
				holder := p.start(t, "upgrade", "head", "-v")
				holder.until(t, "Holding the migration lock: GET_LOCK")
				held(t, file)
				p.start(t, "upgrade", "head", "--lock-timeout", "0").
					wantError(t, exitLocked, `held by connection \d+ of app, from 127\.0\.0\.1`)
				waiting := p.start(t, "upgrade", "head")
				waiting.until(t, `Waiting for another migration: connection \d+ of app`)
				time.Sleep(2 * time.Second) // longer than the server allows
				holder.signal(t, syscall.SIGKILL)
				waiting.wantStatus(t, 0)
				if got := strings.TrimSpace(waiting.stdout.String()); got != "1" {
					t.Errorf("wait_timeout is %s afterwards", got)
				}
			})
			t.Run("lost", func(t *testing.T) {
				p := server.newProject(t, driver)
				file := filepath.Join(t.TempDir(), "go on")
				p.revise(t, "pass")
				p.revise(t, fmt.Sprintf(`op.create_table("half", sa.Column("i", sa.Integer))
ours = op.get_bind().exec_driver_sql("SELECT CONNECTION_ID()").scalar()
sys.stderr.write(f"connection {ours}.\n"); sys.stderr.flush()
while not os.path.exists(%q):
    time.sleep(0.02)`, file))
				run := p.start(t, "upgrade", "head")
				run.until(t, `connection \d+\.`)
				var migrations int
				if _, err := fmt.Sscanf(run.stderr.String()[strings.LastIndex(run.stderr.String(), "connection "):], "connection %d.", &migrations); err != nil {
					t.Fatal(err)
				}
				others := p.ask(t, fmt.Sprintf(`SELECT id FROM information_schema.processlist
					WHERE db = DATABASE() AND id NOT IN (%d, CONNECTION_ID())`, migrations))
				if len(others) != 1 {
					t.Fatalf("%d connections hold locks", len(others))
				}
				p.ask(t, "KILL CONNECTION "+others[0])
				if err := os.WriteFile(file, nil, 0o644); err != nil {
					t.Fatal(err)
				}
				run.wantError(t, 1, "the migration lock was lost, so the run was stopped before its next commit")
				wantNotTakenBack(t, run)
				p.wantRanOnMariaDB(t, 1)
			})
			t.Run("waits for a server", func(t *testing.T) {
				p := server.newProject(t, driver)
				p.revise(t, "pass")
				p.url = strings.Replace(p.url, fmt.Sprint(server.Port), "1", 1) // where nothing listens
				p.start(t, "upgrade", "head", "--wait", "300ms").
					wantError(t, 4, "(?s)^Waiting for the database: .*Waited 300ms.*Error: The database can't be reached")
			})
			if driver == "mysql+pymysql" { // the driver makes no difference
				t.Run("failed", func(t *testing.T) {
					p := server.newProject(t, driver)
					p.revise(t, "op.create_table('half', sa.Column('i', sa.Integer))\nraise RuntimeError('no further')")
					run := p.start(t, "upgrade", "head")
					run.wantError(t, 1, "RuntimeError: no further")
					wantNotTakenBack(t, run)
					if got := p.ask(t, "SHOW TABLES LIKE 'half'"); len(got) != 1 {
						t.Error("the table does not stay")
					}
				})
			}
			for _, s := range signals {
				if s == syscall.SIGTERM && driver != "mysql+pymysql" {
					continue // nor does it here
				}
				t.Run("interrupted/"+s.String(), func(t *testing.T) {
					p := server.newProject(t, driver)
					p.revise(t, say+`op.execute("SELECT SLEEP(600)")`)
					run := p.start(t, "upgrade", "head")
					run.until(t, "now")
					wantInterrupted(t, run, s)
					wantNotTakenBack(t, run)
					for deadline := time.Now().Add(soon); ; time.Sleep(20 * time.Millisecond) {
						left := p.ask(t, "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")
						if len(left) == 0 {
							return
						}
						if time.Now().After(deadline) {
							t.Fatalf("left on the server: %s", left)
						}
					}
				})
			}
		})
	}
}
