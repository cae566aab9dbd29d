package tests

import (
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

// The lock's connection is made by the project's own Engine, so whatever works
// with `alembic` works here, with the lock.

const (
	makesEngine = "engine = create_engine(url, poolclass=pool.NullPool)"
	makesAsync  = "engine = create_async_engine(url, poolclass=pool.NullPool)"
)

// edit changes env.py, which must have old.
func (p *project) edit(t testing.TB, old, new string) {
	t.Helper()
	file := filepath.Join(p.dir, "alembic", "env.py")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("env.py has no %q", old)
	}
	changed := strings.Replace(string(text), old, new, 1)
	if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
}

// alembic runs the bare command of the project's environment.
func (p *project) alembic(t testing.TB, args ...string) *process {
	t.Helper()
	cmd := p.command(t, args...)
	cmd.Path, cmd.Args = p.python.Bin("alembic"), append([]string{"alembic"}, args...)
	return startProcess(t, cmd)
}

// wantSame is that both commands upgrade, and that the lock excludes meanwhile.
func wantSame(t *testing.T, p *project) {
	t.Helper()
	p.alembic(t, "upgrade", "head").wantStatus(t, 0)
	file := filepath.Join(t.TempDir(), "pid")
	p.revise(t, holdUp(file))
	holder := p.start(t, "upgrade", "head", "-v")
	holder.until(t, "Holding the migration lock")
	held(t, file)
	p.start(t, "upgrade", "head", "--lock-timeout", "0").wantStatus(t, exitLocked)
	holder.signal(t, syscall.SIGKILL)
	holder.wantStatus(t, 128+int(syscall.SIGKILL))
	p.succeed(t, "upgrade", "head")
}

const exitLocked = 5

func TestLockByTheProjectsEngine(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.HBA("local all all trust", "host all all all scram-sha-256"))
	// Without its password, the way there is env.py's.
	bare := func(t *testing.T) (url, database string) {
		url = server.NewDatabase(t)
		return strings.Replace(url, ":"+pgtest.Password+"@", "@", 1), url[strings.LastIndex(url, "/")+1:]
	}
	server.Exec(t, "postgres", "SET password_encryption = 'scram-sha-256'; ALTER USER app PASSWORD 'secret'")

	for _, driver := range drivers[2:] {
		engine, synchronous := makesEngine, "engine"
		if strings.HasSuffix(driver, "asyncpg") {
			engine, synchronous = makesAsync, "engine.sync_engine"
		}
		t.Run("do_connect/"+driver, func(t *testing.T) {
			url, _ := bare(t)
			p := newProjectOn(t, t.TempDir(), withDriver(url, driver))
			p.edit(t, engine, engine+`

    @event.listens_for(`+synchronous+`, "do_connect")
    def token(dialect, record, cargs, cparams):
        cparams["password"] = "secret"
`)
			p.revise(t, "pass")
			wantSame(t, p)
		})
		t.Run("connect_args/"+driver, func(t *testing.T) {
			url, _ := bare(t)
			p := newProjectOn(t, t.TempDir(), withDriver(url, driver))
			p.edit(t, engine, strings.Replace(engine, "url,", "url, connect_args={'password': 'secret'},", 1))
			p.revise(t, "pass")
			wantSame(t, p)
		})
	}
	t.Run("creator", func(t *testing.T) {
		url, database := bare(t)
		p := newProjectOn(t, t.TempDir(), "postgresql+psycopg://")
		p.edit(t, makesEngine, fmt.Sprintf(`import psycopg
    def creator():
        return psycopg.connect(%q, password="secret")
    engine = create_engine(url, poolclass=pool.NullPool, creator=creator)`, url))
		p.revise(t, "pass")
		p.url = strings.Replace(server.URL(database), "postgresql:", "postgresql+psycopg:", 1)
		wantSame(t, p)
	})
	t.Run("one connection", func(t *testing.T) {
		url, _ := bare(t)
		p := newProjectOn(t, t.TempDir(), "postgresql+psycopg2://")
		p.edit(t, makesEngine, fmt.Sprintf(`import psycopg2
    only = psycopg2.connect(%q, password="secret")
    engine = create_engine(url, poolclass=pool.StaticPool, creator=lambda: only)`, url))
		p.revise(t, "pass")
		p.alembic(t, "upgrade", "head").wantStatus(t, 0)
		p.start(t, "downgrade", "base").wantError(t, 0, "No migration lock.*one connection only")
	})

	for driver, queries := range map[string][]string{
		"postgresql+psycopg": {"load_balance_hosts=random", "client_encoding=latin1", "sslcrl=/nowhere/crl.pem", "requirepeer=nobody"},
		"postgresql+asyncpg": {"command_timeout=60"},
	} {
		for _, query := range queries {
			t.Run(driver+"?"+query, func(t *testing.T) {
				p := newProjectOn(t, t.TempDir(), withDriver(server.NewDatabase(t), driver)+"?"+query)
				p.revise(t, "pass")
				p.alembic(t, "upgrade", "head").wantStatus(t, 0)
				p.start(t, "stamp", "base").wantError(t, 0, "^(INFO .*\n)*$")
			})
		}
	}
}

// Alembic's recipe for tenants: one env.py goes through many schemas. The lock
// takes one connection, and every schema is locked.
func TestLockOfManySchemas(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Setting("max_connections", "20"))
	p := newProjectOn(t, t.TempDir(), withDriver(server.NewDatabase(t), "postgresql+psycopg"))
	p.edit(t, "    with engine.connect() as connection:\n        run_on(connection)", `    for i in range(80):
        engine = create_engine(url, poolclass=pool.NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS tenant{i}")
            connection.exec_driver_sql(f"SET search_path TO tenant{i}")
            connection.commit()
            context.configure(connection=connection, version_table_schema=f"tenant{i}")
            with context.begin_transaction():
                context.run_migrations()
    with engine.connect() as connection:
        print(connection.exec_driver_sql("SELECT count(*), count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory'").one())`)
	p.revise(t, "pass")
	run := p.succeed(t, "upgrade", "head")
	if got := strings.TrimSpace(run.stdout.String()); got != "(81, 1)" { // one says whose they are
		t.Errorf("locks and connections that hold them: %s", got)
	}
	if got := p.query(t, "SELECT count(*)::text FROM pg_tables WHERE tablename = 'ran'"); got[0] != "80" {
		t.Errorf("%s schemas were migrated", got[0])
	}
}

// The version table's default schema and its name are one.
func TestLockOfTheDefaultSchema(t *testing.T) {
	t.Parallel()
	p, _ := holding(t, "postgresql+psycopg")
	p.edit(t, "context.configure(", "context.configure(version_table_schema='public', ")
	p.start(t, "upgrade", "head", "--lock-timeout", "0").wantStatus(t, exitLocked)
}

// While a run waits for the lock, its own connection idles for longer than the
// server allows it to.
func TestConnectionIsKeptWhileItWaits(t *testing.T) {
	t.Parallel()
	for setting, begin := range map[string]string{
		"idle_session_timeout":                "",
		"idle_in_transaction_session_timeout": "connection.exec_driver_sql('SELECT 1')",
	} {
		for _, driver := range drivers[2:] {
			t.Run(setting+"/"+driver, func(t *testing.T) {
				p, holder := holding(t, driver)
				database := p.url[strings.LastIndex(p.url, "/")+1:]
				p.query(t, fmt.Sprintf("ALTER DATABASE %s SET %s = '700ms'", database, setting))
				p.edit(t, "def run_on(connection: Connection) -> None:\n", "def run_on(connection: Connection) -> None:\n    "+begin+"\n")
				p.revise(t, fmt.Sprintf("print(op.get_bind().exec_driver_sql('SHOW %s').scalar())", setting))
				waiting := p.start(t, "upgrade", "head")
				waiting.until(t, "Waiting for another migration")
				time.Sleep(2 * time.Second) // longer than the server allows
				holder.signal(t, syscall.SIGKILL)
				waiting.wantStatus(t, 0)
				if got := strings.TrimSpace(waiting.stdout.String()); got != "700ms" {
					t.Errorf("%s is %s afterwards", setting, got)
				}
			})
		}
	}
}

func TestLockURLLeadsElsewhere(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	p := newProject(t, "postgresql+psycopg")
	p.revise(t, "pass")
	p.env = []string{"REFLEX_DB_LOCK_URL=" + pgtest.Start(t).NewDatabase(t)}
	p.start(t, "upgrade", "head").wantError(t, 4, "REFLEX_DB_LOCK_URL leads to another server.*Mend REFLEX_DB_LOCK_URL")
	p.env = []string{"REFLEX_DB_LOCK_URL=postgresql://app@127.0.0.1:1/app"}
	p.start(t, "upgrade", "head").wantError(t, 4, "(?s)connection for the migration lock failed.*Mend REFLEX_DB_LOCK_URL")
	p.env = []string{"REFLEX_DB_LOCK_URL= " + p.plainURL() + "\n"}
	p.succeed(t, "upgrade", "head")

	// From another database of the server, runs exclude those that hold it from their own.
	p.env = nil
	file := filepath.Join(t.TempDir(), "pid")
	p.revise(t, holdUp(file))
	elsewhere := []string{"REFLEX_DB_LOCK_URL=" + server.NewDatabase(t)}
	for i, env := range [][]string{nil, elsewhere} {
		if i > 0 {
			os.Remove(file)
			os.Remove(file + ".new")
		}
		p.env = env
		holder := p.start(t, "upgrade", "head")
		held(t, file)
		for _, env := range [][]string{nil, elsewhere} {
			p.env = env
			p.start(t, "upgrade", "head", "--lock-timeout", "0").
				wantError(t, exitLocked, fmt.Sprintf(holderPattern, holder.cmd.Process.Pid))
		}
		holder.signal(t, syscall.SIGKILL)
		holder.wantStatus(t, 128+int(syscall.SIGKILL))
	}
}

// The lock is asked for before an autocommit_block commits what came before it.
func TestLockIsLostBeforeAnAutocommitBlock(t *testing.T) {
	t.Parallel()
	p := newProject(t, "postgresql+psycopg")
	p.revise(t, "pass")
	p.succeed(t, "upgrade", "head")
	p.revise(t, `op.create_table("half", sa.Column("i", sa.Integer))
import psycopg
with psycopg.connect(os.environ["REFLEX_DB_URL"].replace("+psycopg", "")) as other: # unseen by SQLAlchemy
    other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ '^reflex db lock' AND datname = current_database()")
with op.get_context().autocommit_block():
    op.execute("CREATE TABLE whole (i int)")`)
	p.start(t, "upgrade", "head").wantError(t, 1, "the migration lock was lost")
	if got := p.query(t, "SELECT tablename::text FROM pg_tables WHERE tablename IN ('half', 'whole')"); len(got) > 0 {
		t.Errorf("committed without the lock: %s", got)
	}
}

// The lock is held until Python has ended its threads and called its atexit
// handlers: they may still write.
func TestLockIsHeldToTheEnd(t *testing.T) {
	t.Parallel()
	for _, driver := range lockDrivers {
		t.Run(driver, func(t *testing.T) {
			p := newProject(t, driver)
			file := filepath.Join(t.TempDir(), "go on")
			p.revise(t, fmt.Sprintf(`import atexit, threading
def wait(where):
    sys.stderr.write(f"in {where}\n"); sys.stderr.flush()
    while not os.path.exists(%q + where):
        time.sleep(0.02)
atexit.register(wait, "atexit")
threading.Thread(target=wait, args=["thread"]).start()`, file))
			run := p.start(t, "upgrade", "head")
			for _, where := range []string{"thread", "atexit"} {
				run.until(t, "in "+where)
				p.start(t, "stamp", "base", "--lock-timeout", "0").wantStatus(t, exitLocked)
				if err := os.WriteFile(file+where, nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			run.wantStatus(t, 0)
			p.succeed(t, "stamp", "head", "--lock-timeout", "10s")
		})
	}
}

// A child that a migration has forked does not keep the lock, however long it
// lives and whatever ends the run.
func TestForkedChildDoesNotKeepTheLock(t *testing.T) {
	t.Parallel()
	for _, driver := range lockDrivers {
		t.Run(driver, func(t *testing.T) {
			p := newProject(t, driver)
			p.revise(t, "pass")
			p.succeed(t, "upgrade", "head")
			// Before it has written: the child keeps the migration's connection too,
			// as with the bare alembic, and so what that has locked.
			p.revise(t, `if os.environ.get("FORK"):
    child = os.fork()
    if not child:
        time.sleep(600)
        os._exit(0)
    sys.stderr.write(f"child {child}.\n"); sys.stderr.flush()
    time.sleep(600)`)
			p.env = []string{"FORK=1"}
			run := p.start(t, "upgrade", "head")
			run.until(t, `child \d+\.`)
			var child int
			if _, err := fmt.Sscanf(run.stderr.String()[strings.Index(run.stderr.String(), "child "):], "child %d.", &child); err != nil {
				t.Fatal(err)
			}
			defer syscall.Kill(child, syscall.SIGKILL)
			_ = run.cmd.Process.Kill() // its pipes stay open: the child has them
			p.env = nil
			p.succeed(t, "upgrade", "head", "--lock-timeout", "20s")
			if err := syscall.Kill(child, 0); err != nil {
				t.Errorf("the child has ended: %v", err)
			}
		})
	}
}

func TestLockOnSQLite(t *testing.T) {
	t.Parallel()
	// holder holds the lock of p's database; second is another project's run.
	second := func(t *testing.T, p *project, url string) *process {
		q := *p
		q.url = url
		return q.start(t, "upgrade", "head", "--lock-timeout", "0")
	}
	t.Run("another file in the directory", func(t *testing.T) {
		p, _ := holding(t, "sqlite")
		q := *p
		q.url = strings.Replace(p.url, "app.db", "other.db", 1)
		q.succeed(t, "upgrade", "0001", "--lock-timeout", "0")
	})
	t.Run("a link to a file that is not there yet", func(t *testing.T) {
		p := newProject(t, "sqlite")
		data := t.TempDir()
		if err := os.Symlink(filepath.Join(data, "real.db"), filepath.Join(p.dir, "app.db")); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "pid")
		p.revise(t, holdUp(file))
		p.start(t, "upgrade", "head")
		held(t, file)
		second(t, p, "sqlite:///"+filepath.Join(data, "real.db")).wantStatus(t, exitLocked)
	})
	t.Run("beside flock", func(t *testing.T) {
		p := newProject(t, "sqlite")
		p.revise(t, "pass")
		for _, locked := range []string{p.dir, filepath.Join(p.dir, "app.db")} {
			cmd := p.command(t, "upgrade", "head", "--lock-timeout", "0")
			cmd.Args = append([]string{"flock", locked, cmd.Path}, cmd.Args[1:]...)
			var err error
			if cmd.Path, err = exec.LookPath("flock"); err != nil {
				t.Skip("no flock command here")
			}
			startProcess(t, cmd).wantStatus(t, 0)
		}
	})
	t.Run("a directory that can be searched and not read", func(t *testing.T) {
		p := newProject(t, "sqlite")
		p.revise(t, "pass")
		data := t.TempDir()
		p.url = "sqlite:///" + filepath.Join(data, "app.db")
		if err := os.WriteFile(filepath.Join(data, "app.db"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(data, 0o311); err != nil {
			t.Fatal(err)
		}
		defer os.Chmod(data, 0o755) // for who removes it
		cmd := p.command(t, "upgrade", "head", "-v")
		if os.Geteuid() == 0 { // whom no mode stops
			setpriv, err := exec.LookPath("setpriv")
			if err != nil {
				t.Skip("root can't give up its rights here: no setpriv")
			}
			cmd.Args = append([]string{"setpriv", "--bounding-set=-dac_override,-dac_read_search", cmd.Path}, cmd.Args[1:]...)
			cmd.Path = setpriv
		}
		startProcess(t, cmd).wantError(t, 0, "Holding the migration lock")
	})
	t.Run("a database that can't be written", func(t *testing.T) {
		p := newProject(t, "sqlite")
		p.revise(t, "pass")
		p.succeed(t, "upgrade", "head")
		readOnly := strings.Replace(p.url, "sqlite:///", "sqlite:///file:", 1) + "?mode=ro&uri=true"
		second(t, p, readOnly).wantStatus(t, 0) // nothing to do
	})
	t.Run("in memory", func(t *testing.T) {
		p := newProjectOn(t, t.TempDir(), "sqlite://")
		p.revise(t, "pass")
		p.start(t, "upgrade", "head").wantError(t, 0, `^(INFO .*\n)*1 revision in \S+ s; the database is at 0001 \(head\)\n$`)
	})
}

// --wait is env.py's own connect, tried again: whatever the URL's source.
func TestWaitForTheURLOfEnvPy(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	url := withDriver(server.NewDatabase(t), "postgresql+psycopg")
	p := newProjectOn(t, t.TempDir(), "")
	p.edit(t, "def database_url() -> URL:", fmt.Sprintf("def database_url() -> URL:\n    return make_url(%q)\n\ndef not_used() -> URL:", url))
	p.revise(t, "pass")
	server.Stop(syscall.SIGINT)
	run := p.start(t, "upgrade", "head", "--wait", "60s")
	run.until(t, "Waiting for the database: .*left")
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	run.wantStatus(t, 0)

	p.start(t, "upgrade", "head", "--sql", "--wait", "60s").wantError(t, 2, "--wait is for a server")
}
