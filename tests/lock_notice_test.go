package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// What a project can see of the lock, which should be nothing but one more
// connection.

// Whatever the project logs and counts, the output of the bare alembic and of
// `reflex db` are the same.
func TestLockIsNotNoticed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string][2]string{
		"echo": {"poolclass=pool.NullPool)", "poolclass=pool.NullPool, echo=True)"},
		// The addresses of the connections differ.
		"the pool's log": {"poolclass=pool.NullPool)", `echo_pool="debug", pool_size=1, max_overflow=0)`},
		"a listener that leaves a transaction open": {"poolclass=pool.NullPool)", `poolclass=pool.NullPool)

    @event.listens_for(engine, "connect")
    def connect(dbapi_connection, _record):
        dbapi_connection.cursor().execute("SET search_path TO public")
`},
		"isolation": {"poolclass=pool.NullPool)", `poolclass=pool.NullPool, isolation_level="SERIALIZABLE")

    @event.listens_for(engine, "connect")
    def settle(dbapi_connection, _record):
        dbapi_connection.cursor().execute("SET default_transaction_isolation TO 'repeatable read'")
        dbapi_connection.commit()
`},
		"statements": {"poolclass=pool.NullPool)", `poolclass=pool.NullPool)

    @event.listens_for(engine, "before_cursor_execute")
    def count(_connection, _cursor, statement, *_):
        print("a statement", statement)

    for name in "begin", "commit", "rollback":
        event.listen(engine, name, lambda *_, name=name: print(name))
`},
		"its own transaction": {"    configure(connection.dialect.name, connection=connection)", `    with connection.begin():
        configure(connection.dialect.name, connection=connection)`},
	} {
		for _, driver := range drivers[2:] {
			if driver != "postgresql+psycopg" && name != "its own transaction" && !(name == "isolation" && driver == "postgresql+psycopg2") {
				continue // which each driver begins in its own way; and psycopg2 its autocommit
			}
			t.Run(name+"/"+driver, func(t *testing.T) {
				p := newProject(t, driver)
				p.edit(t, change[0], change[1])
				p.reviseMany(t, 2)
				if name == "isolation" {
					p.revise(t, `for name in "transaction_isolation", "default_transaction_isolation":
    print(op.get_bind().exec_driver_sql("SHOW " + name).scalar())`)
					p.replace(t, 3, "INSERT INTO ran VALUES", "INSERT INTO ran (revision) VALUES")
				}
				want := p.again(t).alembic(t, "upgrade", "head").wantStatus(t, 0)
				got := p.succeed(t, "upgrade", "head")
				same(t, "stdout", anonymous(want.stdout.String()), anonymous(got.stdout.String()))
				_, told := comparable(t, "alembic upgrade head", "", got.stderr.String())
				same(t, "stderr", anonymous(want.stderr.String()), anonymous(told))
			})
		}
	}
}

var varying = regexp.MustCompile(`0x[0-9a-f]+|\d+\.\d+s\b|\d{4}-\d\d-\d\d [0-9:,]+|test\d+_\d+|port=\d+|password=\S+`)

// anonymous is a log without addresses, times and the database's name.
func anonymous(text string) string { return varying.ReplaceAllString(text, "…") }

// While one holds the lock, another has waited in a transaction that had not
// begun on the server: it sees what the first has committed.
func TestWaitTakesNoSnapshot(t *testing.T) {
	t.Parallel()
	p := newProject(t, "postgresql+psycopg")
	p.edit(t, "poolclass=pool.NullPool)", `poolclass=pool.NullPool, isolation_level="REPEATABLE READ")`)
	p.edit(t, "    configure(connection.dialect.name, connection=connection)", `    with connection.begin():
        configure(connection.dialect.name, connection=connection)`)
	file := filepath.Join(t.TempDir(), "go on")
	p.revise(t, waitFor(file))
	holder := p.start(t, "upgrade", "head")
	holder.until(t, "in the revision")
	waiting := p.start(t, "upgrade", "head")
	waiting.until(t, "Waiting for another migration")
	touch(t, file)
	holder.wantStatus(t, 0)
	waiting.wantStatus(t, 0)
	p.wantRan(t, 1)
}

// env.py may run one event loop after the other: a connection is of one of them.
func TestLockOfSeveralEventLoops(t *testing.T) {
	t.Parallel()
	p := newProject(t, "postgresql+asyncpg")
	p.edit(t, "        asyncio.run(run_async(url))\n", "        for _ in range(3):\n            asyncio.run(run_async(url))\n")
	p.reviseMany(t, 2)
	p.succeed(t, "upgrade", "head")
	p.wantRan(t, 2)
}

// A table without a schema is locked where search_path, and SQLAlchemy's
// translation of schemas, lead.
func TestLockOfTheResolvedSchema(t *testing.T) {
	t.Parallel()
	body := "    configure(connection.dialect.name, connection=connection)"
	holdingIn := func(t *testing.T, change, schema string) *project {
		p := newProject(t, "postgresql+psycopg")
		p.query(t, "CREATE SCHEMA tenant")
		p.edit(t, body, change+body)
		file := filepath.Join(t.TempDir(), "pid")
		p.revise(t, "pass")
		p.revise(t, holdUp(file))
		p.replace(t, 1, "INTO ran", "INTO "+schema+".ran")
		p.start(t, "upgrade", "head").until(t, "0001 -> 0002")
		held(t, file)
		return p
	}
	translate := func(schema string) string {
		return fmt.Sprintf("    connection = connection.execution_options(schema_translate_map={None: %q})\n", schema)
	}
	t.Run("translated", func(t *testing.T) {
		p := holdingIn(t, translate("tenant"), "tenant")
		p.start(t, "stamp", "0001", "--lock-timeout", "0").wantStatus(t, exitLocked)
		p.edit(t, translate("tenant"), "")
		p.start(t, "stamp", "0001", "--lock-timeout", "0").wantStatus(t, 0)
	})
	t.Run("the table is in a later schema of search_path", func(t *testing.T) {
		p := holdingIn(t, "", "public")
		p.edit(t, body, "    connection.exec_driver_sql('SET search_path TO tenant, public')\n"+body)
		p.start(t, "stamp", "0001", "--lock-timeout", "0").wantStatus(t, exitLocked)
	})
	t.Run("an odd name", func(t *testing.T) {
		p := newProject(t, "postgresql+psycopg")
		p.edit(t, "context.configure(", `context.configure(version_table="it's 100% \"\\odd", `)
		p.revise(t, "pass")
		p.succeed(t, "upgrade", "head", "-v")
	})
}

// A role that may connect once can't have the lock beside its migration.
func TestRoleWithOneConnection(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	server.Exec(t, "postgres", "CREATE ROLE once LOGIN CONNECTION LIMIT 1")
	url := server.NewDatabase(t)
	server.Exec(t, url[strings.LastIndexByte(url, '/')+1:], "GRANT ALL ON SCHEMA public TO once")
	p := newProjectOn(t, t.TempDir(), withDriver(strings.Replace(url, "app:secret@", "once@", 1), "postgresql+psycopg"))
	p.revise(t, "pass")
	p.start(t, "upgrade", "head").wantError(t, 4, `(?s)connection for the migration lock failed.*too many connections for role "once".*REFLEX_DB_LOCK_URL.*--no-lock`)
	p.succeed(t, "upgrade", "head", "--no-lock")
}

// Who may see other roles' activity is told who holds the lock; who may not, at
// least the process.
func TestHolderOfAnotherRole(t *testing.T) {
	t.Parallel()
	p, _ := holding(t, "postgresql+psycopg")
	server := pgtest.Shared(t)
	server.Exec(t, "postgres", "CREATE ROLE other LOGIN PASSWORD 'x'")
	t.Cleanup(func() { server.Exec(t, "postgres", "DROP ROLE other") })
	q := *p
	q.url = strings.Replace(p.url, "app:secret@", "other:x@", 1)
	q.start(t, "upgrade", "head", "--lock-timeout", "0").wantError(t, exitLocked, `held by pid \d+, "[^"]*"\n`)
}

// One connection more, and one question before each commit.
func TestLockAsksOnceBeforeEachCommit(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Setting("log_statement", "all"), pgtest.Setting("log_line_prefix", "%a|"),
		pgtest.Setting("log_connections", "on"),
		pgtest.Setting("logging_collector", "on"), pgtest.Setting("log_filename", "all.log"))
	file := filepath.Join(server.Data, "log", "all.log")
	for _, words := range append(drivers[2:], "postgresql+psycopg --ddl-lock-timeout 5s --lock-retries 3", "postgresql+psycopg --polite 10s") {
		t.Run(words, func(t *testing.T) {
			driver, options, _ := strings.Cut(words, " ")
			p := newProjectOn(t, t.TempDir(), withDriver(server.NewDatabase(t), driver))
			p.reviseMany(t, 10)
			before := read(t, file)
			p.succeed(t, append([]string{"upgrade", "head"}, strings.Fields(options)...)...)
			log := strings.TrimPrefix(read(t, file), before)
			asked := strings.Count(log, "reflex db lock (")
			checks := len(regexp.MustCompile(`reflex db lock \(.*SELECT pg_backend_pid\(\)\n`).FindAllString(log, -1))
			want := 2
			if strings.Contains(options, "--polite") {
				want = 3
			}
			if n := strings.Count(log, "connection authorized"); n != want {
				t.Errorf("%d connections, for the migration and its lock; want %d", n, want)
			}
			// Beside them, the lock itself, with its session's settings.
			if checks != 10 || asked != 11 {
				t.Errorf("for 10 revisions, whether the lock is held was asked %d times; %d statements in all:\n%s", checks, asked, log)
			}
		})
	}
}

// A dialect without a lock says so once, whether -v is given or not.
func TestOtherDialects(t *testing.T) {
	t.Parallel()
	python := venv.Get(t, venv.Newest(t), append(append([]string{}, requirements...), "duckdb", "duckdb-engine")...)
	p := &project{dir: t.TempDir(), python: python}
	p.url = "duckdb:///" + filepath.Join(p.dir, "app.db")
	p.succeed(t, "init")
	p.edit(t, "if context.is_offline_mode():", `from alembic.ddl.postgresql import PostgresqlImpl

class DuckDBImpl(PostgresqlImpl):
    __dialect__ = "duckdb"

if context.is_offline_mode():`)
	p.revise(t, "pass")
	p.alembic(t, "upgrade", "head").wantStatus(t, 0)
	run := p.start(t, "stamp", "base")
	run.wantError(t, 0, "(?m)^No migration lock, so concurrent runs are not kept apart: there is none for duckdb$")
	if n := strings.Count(run.stderr.String(), "No migration lock"); n != 1 {
		t.Errorf("said %d times", n)
	}
}

// Whatever ends a run, its lock is given back.
func TestLockIsGivenBack(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers[2:] {
		t.Run(driver, func(t *testing.T) {
			p := newProject(t, driver)
			p.revise(t, "raise RuntimeError('no further')")
			p.start(t, "upgrade", "head").wantError(t, 1, "no further")
			wantNobody(t, p)
			p.start(t, "upgrade", "head").signal(t, syscall.SIGKILL)
			wantNobody(t, p)
		})
	}
}

// waitFor makes a revision wait until file is there.
func waitFor(file string) string {
	return fmt.Sprintf(`sys.stderr.write("in the revision\n"); sys.stderr.flush()
while not os.path.exists(%q):
    time.sleep(0.02)`, file)
}

func touch(t testing.TB, file string) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
