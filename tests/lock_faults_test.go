package tests

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// What goes wrong with the lock's connection, or is in its way: the run ends
// with a word of the lock and what to do, or works as with the bare alembic.

// The server ends a connection of a run that waits for the lock.
func TestConnectionEndsWhileItWaitsForTheLock(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers[2:] {
		server := pgtest.Shared(t)
		for which, says := range map[string]string{
			"application_name LIKE 'reflex db lock (%%, pid %d)'": "connection for the migration lock failed",
			"application_name = 'waits' AND %d > 0":               "the migration's connection ended while the run waited for the migration lock",
		} {
			t.Run(driver+"/"+says, func(t *testing.T) {
				p, _ := holding(t, driver) // one case ends the holder too
				p.env = []string{"PGAPPNAME=waits"}
				timeout := "20s"
				if strings.HasPrefix(says, "the migration's") {
					timeout = "3s"
				}
				if driver == "postgresql+asyncpg" && timeout == "3s" {
					return // it has no such variable, and the case is the same
				}
				waiting := p.start(t, "upgrade", "head", "--lock-timeout", timeout)
				waiting.until(t, "Waiting for another migration")
				server.Exec(t, p.database(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "+fmt.Sprintf(which, waiting.cmd.Process.Pid))
				if timeout == "3s" {
					server.Exec(t, p.database(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'reflex db lock%' AND datname = current_database() AND application_name NOT LIKE '%"+fmt.Sprint(waiting.cmd.Process.Pid)+")'")
				}
				waiting.wantError(t, 4, says)
			})
		}
	}
}

func (p *project) database() string { return p.url[strings.LastIndexByte(p.url, '/')+1:] }

// Two connections are enough, whatever the driver tells of the server's process.
func TestRoleWithTwoConnections(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	server.Exec(t, "postgres", "CREATE ROLE twice LOGIN CONNECTION LIMIT 2")
	python := venv.Get(t, venv.Newest(t), append(append([]string{}, requirements...), "pg8000")...)
	for _, driver := range append([]string{"postgresql+pg8000"}, drivers[2:]...) {
		t.Run(driver, func(t *testing.T) {
			url := server.NewDatabase(t)
			server.Exec(t, url[strings.LastIndexByte(url, '/')+1:], "GRANT ALL ON SCHEMA public TO twice")
			p := &project{dir: t.TempDir(), url: withDriver(strings.Replace(url, "app:secret@", "twice@", 1), driver), python: python}
			p.succeed(t, "init")
			p.revise(t, "pass")
			p.succeed(t, "upgrade", "head")
		})
	}
}

// A token that is good for one connection gives the lock none, and the message
// says why though the error itself says nothing.
func TestTokenForOneConnection(t *testing.T) {
	t.Parallel()
	p := newProject(t, "postgresql+psycopg")
	p.edit(t, makesEngine, makesEngine+`

    @event.listens_for(engine, "do_connect")
    def token(dialect, record, cargs, cparams, spent=[]):
        if spent:
            raise LookupError()
        spent.append(1)
`)
	p.revise(t, "pass")
	p.start(t, "upgrade", "head").wantError(t, 4, "(?s)connection for the migration lock failed: LookupError.*a second connection.*REFLEX_DB_LOCK_URL.*--no-lock")
	p.succeed(t, "upgrade", "head", "--no-lock")
}

// A pooler that has two sessions for its clients is enough, in session mode.
func TestPoolerWithTwoSessions(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers[2:] {
		for _, begun := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/in a transaction=%t", driver, begun), func(t *testing.T) {
				p, _ := behindPgBouncer(t, driver, "session", "default_pool_size = 2")
				if begun {
					p.edit(t, "def run_on(connection: Connection) -> None:\n", "def run_on(connection: Connection) -> None:\n    connection.exec_driver_sql('SELECT 1')\n")
				}
				p.succeed(t, "upgrade", "head")
			})
		}
	}
}

// And a transaction does not hide a pooler in transaction mode.
func TestPoolerInTransactionModeInATransaction(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers[2:4] {
		t.Run(driver, func(t *testing.T) {
			p, _ := behindPgBouncer(t, driver, "transaction")
			p.edit(t, "def run_on(connection: Connection) -> None:\n", "def run_on(connection: Connection) -> None:\n    connection.exec_driver_sql('SELECT 1')\n")
			p.start(t, "upgrade", "head").wantError(t, 4, "pooler in transaction mode")
		})
	}
}

// A migration may end every other session of its database, or clone it.
func TestMigrationThatNeedsItsDatabaseAlone(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	const endOthers = `op.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")`
	for _, driver := range drivers[2:] {
		t.Run(driver, func(t *testing.T) {
			p := newProject(t, driver)
			clone := p.database() + "_" + strings.ReplaceAll(driver[len("postgresql+"):], "+", "_")
			t.Cleanup(func() { server.Exec(t, "postgres", "DROP DATABASE IF EXISTS "+clone) })
			p.revise(t, endOthers)
			file := filepath.Join(t.TempDir(), "go on")
			p.revise(t, waitFor(file))
			env := filepath.Join(p.dir, "alembic", "env.py")
			text, err := os.ReadFile(env)
			if err != nil {
				t.Fatal(err)
			}
			text = append(text, fmt.Sprintf(`
if context.get_x_argument():
    with create_engine(database_url().set(drivername="postgresql+psycopg", database="postgres"), isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE %s TEMPLATE %s")
`, clone, p.database())...)
			if err := os.WriteFile(env, text, 0o644); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), "import create_engine") {
				p.edit(t, "from alembic import context\n", "from alembic import context\nfrom sqlalchemy import create_engine\n")
			}
			q := *p
			run := q.start(t, "-x", "clone", "upgrade", "head", "-v")
			run.until(t, "in the revision")
			// The lock is held from elsewhere now, and keeps others out as before.
			q.start(t, "upgrade", "head", "--lock-timeout", "0").
				wantError(t, exitLocked, fmt.Sprintf(holderPattern, run.cmd.Process.Pid))
			touch(t, file)
			run.wantStatus(t, 0)
			if strings.Contains(run.stderr.String(), "can't be held") {
				t.Error(run.stderr.String())
			}
			if got := queryPostgres(t, server.URL("postgres"), "SELECT datname::text FROM pg_database WHERE datname = '"+clone+"'"); len(got) != 1 {
				t.Error("the database was not cloned")
			}
		})
	}
	// Where the lock can't move, the message says what to do.
	t.Run("refused", func(t *testing.T) {
		own := pgtest.Start(t)
		own.Exec(t, "postgres", "CREATE ROLE migrator LOGIN")
		url := own.NewDatabase(t)
		name := url[strings.LastIndexByte(url, '/')+1:]
		own.Exec(t, name, "GRANT ALL ON SCHEMA public TO migrator")
		own.Exec(t, "postgres", "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC")
		p := newProjectOn(t, t.TempDir(), withDriver(strings.Replace(url, "app:secret@", "migrator@", 1), "postgresql+psycopg"))
		p.revise(t, endOthers)
		p.start(t, "upgrade", "head").wantError(t, 1, "(?s)From the database postgres it can't be held: .*permission denied.*set REFLEX_DB_LOCK_URL to another database.*lock was lost")
	})
}

// Who may not read pg_locks has the lock all the same, and who is refused is not
// told whose it is.
func TestLockWhereNobodyMayReadLocks(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	server.Exec(t, "postgres", "CREATE ROLE migrator LOGIN")
	for _, driver := range drivers[2:] {
		t.Run(driver, func(t *testing.T) {
			url := server.NewDatabase(t)
			name := url[strings.LastIndexByte(url, '/')+1:]
			server.Exec(t, name, "GRANT ALL ON SCHEMA public TO migrator")
			server.Exec(t, name, "REVOKE ALL ON pg_locks FROM PUBLIC")
			p := newProjectOn(t, t.TempDir(), withDriver(strings.Replace(url, "app:secret@", "migrator@", 1), driver))
			file := filepath.Join(t.TempDir(), "go on")
			p.revise(t, "pass")
			p.revise(t, waitFor(file))
			run := p.start(t, "upgrade", "head")
			run.until(t, "in the revision")
			p.start(t, "upgrade", "head", "--lock-timeout", "0").wantError(t, exitLocked, "held by another connection; this role may not ask whose")
			p.succeed(t, "status")
			touch(t, file)
			run.wantStatus(t, 0)
		})
	}
}

// A proxy is a way to a server that can go silent, and that counts round trips.
type proxy struct {
	port  int
	limit int // of connections that are answered
	trips int // how often a client has sent something after an answer, or as the first
	mu    sync.Mutex
	open  int
	still bool
	moved *sync.Cond
}

func startProxy(t *testing.T, port, limit int) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &proxy{port: l.Addr().(*net.TCPAddr).Port, limit: limit}
	p.moved = sync.NewCond(&p.mu)
	t.Cleanup(func() { p.silence(false) })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(client, port)
		}
	}()
	return p
}

func (p *proxy) serve(client net.Conn, port int) {
	defer client.Close()
	p.mu.Lock()
	answered := p.open < p.limit
	if answered {
		p.open++
	}
	p.mu.Unlock()
	if !answered { // as a server with one backend does
		_, _ = io.Copy(io.Discard, client)
		return
	}
	defer func() { p.mu.Lock(); p.open--; p.mu.Unlock() }()
	server, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return
	}
	defer server.Close()
	asked := false
	go func() {
		p.copy(client, server, func([]byte) { asked = false })
		client.Close()
	}()
	p.copy(server, client, func(message []byte) {
		if !asked && string(message) != terminate {
			asked = true
			p.trips++
		}
	})
}

// terminate is a message that has no answer
// (https://www.postgresql.org/docs/current/protocol-message-formats.html).
const terminate = "X\x00\x00\x00\x04"

// copy calls heard, with the mutex held, before it passes on what came.
func (p *proxy) copy(to, from net.Conn, heard func([]byte)) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		if n > 0 {
			heard(buffer[:n])
		}
		for p.still {
			p.moved.Wait()
		}
		p.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// asked is the number of round trips up to now.
func (p *proxy) asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trips
}

func (p *proxy) silence(still bool) {
	p.mu.Lock()
	p.still = still
	p.mu.Unlock()
	p.moved.Broadcast()
}

func (p *proxy) url(url string, server *pgtest.Server) string {
	return strings.Replace(url, fmt.Sprintf(":%d/", server.Port), fmt.Sprintf(":%d/", p.port), 1)
}

// A server with one backend accepts a second connection and never answers it.
func TestServerWithOneBackend(t *testing.T) {
	server := pgtest.Shared(t)
	for _, driver := range drivers[2:] {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			one := startProxy(t, server.Port, 1)
			p := newProjectOn(t, t.TempDir(), withDriver(one.url(server.NewDatabase(t), server), driver))
			p.revise(t, "pass")
			p.start(t, "upgrade", "head").wantError(t, 4, "(?s)connection for the migration lock failed: no answer within 15 seconds.*a second connection.*--no-lock")
			p.succeed(t, "upgrade", "head", "--no-lock")
		})
	}
}

// The network on the lock's way goes silent while the migration works: the
// question before the commit has a limit, and a signal ends it.
func TestLockGoesSilent(t *testing.T) {
	server := pgtest.Shared(t)
	for _, driver := range drivers[2:] {
		for _, signalled := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/signalled=%t", driver, signalled), func(t *testing.T) {
				t.Parallel()
				way := startProxy(t, server.Port, 9)
				p := newProjectOn(t, t.TempDir(), withDriver(server.NewDatabase(t), driver))
				p.env = []string{"REFLEX_DB_LOCK_URL=" + way.url(p.plainURL(), server)}
				file := filepath.Join(t.TempDir(), "go on")
				p.revise(t, waitFor(file)+"\nsys.stderr.write('at its end\\n'); sys.stderr.flush()")
				run := p.start(t, "upgrade", "head")
				run.until(t, "in the revision")
				way.silence(true)
				touch(t, file)
				run.until(t, "at its end")
				if !signalled {
					run.wantError(t, 1, "the migration lock was lost.*no answer within 15 seconds")
					return
				}
				time.Sleep(200 * time.Millisecond) // it is in the question by then
				start := time.Now()
				run.signal(t, syscall.SIGTERM)
				run.wantStatus(t, 143)
				// psycopg gives its own attempt to cancel five seconds.
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("SIGTERM took %s", took)
				}
			})
		}
	}
}
