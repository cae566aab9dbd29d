package tests

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// A project is what `reflex db init` writes, with revisions, and a database.
type project struct {
	dir string
	url string   // of the database, with the driver
	env []string // more variables for its runs

	python    venv.Env
	revisions int
}

// patience is how long a run may take on a slow machine before a test gives up.
const patience = 2 * time.Minute

// newProject makes a project on a new database for driver.
func newProject(t testing.TB, driver string) *project {
	t.Helper()
	dir := t.TempDir()
	if strings.HasPrefix(driver, "sqlite") {
		return newProjectOn(t, dir, driver+":///"+filepath.Join(dir, "app.db"))
	}
	url := pgtest.Shared(t).NewDatabase(t)
	return newProjectOn(t, dir, withDriver(url, driver))
}

func withDriver(url, driver string) string {
	return strings.Replace(url, "postgresql:", driver+":", 1)
}

func newProjectOn(t testing.TB, dir, url string) *project {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS(initialized(t))); err != nil {
		t.Fatal(err)
	}
	return &project{dir: dir, url: url, python: venv.Get(t, venv.Newest(t), requirements...)}
}

// initialized is what `reflex db init` writes, whatever the database and the interpreter.
var initialized = shared("project", func(t testing.TB, dir string) error {
	p := &project{dir: dir, python: venv.Get(t, venv.Newest(t), requirements...)}
	p.succeed(t, "init")
	return nil
})

// again is the same project on another new database.
func (p *project) again(t testing.TB) *project {
	t.Helper()
	driver, _, _ := strings.Cut(p.url, ":")
	other := *p
	if p.onSQLite() {
		other.url = driver + ":///" + filepath.Join(t.TempDir(), "app.db")
	} else {
		other.url = withDriver(pgtest.Shared(t).NewDatabase(t), driver)
	}
	return &other
}

// plainURL is the URL without the driver, as libpq takes it.
func (p *project) plainURL() string {
	_, rest, _ := strings.Cut(p.url, ":")
	return "postgresql:" + rest
}

func (p *project) onSQLite() bool { return strings.HasPrefix(p.url, "sqlite") }

// revise adds a revision whose upgrade() is body. It ends by writing its name
// into the table ran, which the first revision makes before anything else.
func (p *project) revise(t testing.TB, body string) {
	t.Helper()
	down := "None"
	if p.revisions > 0 {
		down = fmt.Sprintf("%q", fmt.Sprintf("%04d", p.revisions))
	} else {
		body = "op.create_table('ran', sa.Column('revision', sa.String(4)))\n" + body
	}
	p.revisions++
	name := fmt.Sprintf("%04d", p.revisions)
	body += fmt.Sprintf("\nop.execute(\"INSERT INTO ran VALUES ('%s')\")\n", name)
	text := fmt.Sprintf(`import os, sys, time
import sqlalchemy as sa
from alembic import op

revision, down_revision = "%s", %s


def upgrade():
    %s

def downgrade():
    pass
`, name, down, strings.ReplaceAll(strings.TrimSpace(body), "\n", "\n    "))
	file := filepath.Join(p.dir, "alembic", "versions", name+".py")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// reviseMany adds n revisions, each with a table and an index of its own.
func (p *project) reviseMany(t testing.TB, n int) {
	t.Helper()
	for range n {
		i := p.revisions + 1
		p.revise(t, fmt.Sprintf(`op.create_table('t%d', sa.Column('id', sa.Integer, primary_key=True), sa.Column('n', sa.Integer))
op.create_index('t%d_n', 't%d', ['n'])
op.add_column('ran', sa.Column('c%d', sa.Integer))`, i, i, i, i))
		// ran gets a column in each, so that each depends on the one before.
		p.replace(t, i, fmt.Sprintf("INSERT INTO ran VALUES ('%04d')", i), fmt.Sprintf("INSERT INTO ran (revision) VALUES ('%04d')", i))
	}
}

func (p *project) replace(t testing.TB, revision int, old, new string) {
	t.Helper()
	file := filepath.Join(p.dir, "alembic", "versions", fmt.Sprintf("%04d.py", revision))
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, bytes.ReplaceAll(text, []byte(old), []byte(new)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// command is `reflex db ARGS...`, not started.
func (p *project) command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(filepath.Join(reflexDir(t), "reflex"), append([]string{"db"}, args...)...)
	cmd.Dir = p.dir
	cmd.Env = venv.CleanEnv(append([]string{
		"VIRTUAL_ENV=" + p.python.Dir, "REFLEX_DB_URL=" + p.url, "LANG=C.UTF-8",
	}, p.env...)...)
	return cmd
}

// start starts `reflex db ARGS...`; it is killed if the test ends before it.
func (p *project) start(t testing.TB, args ...string) *process {
	t.Helper()
	return startProcess(t, p.command(t, args...))
}

// succeed runs `reflex db ARGS...`, which must end with status 0.
func (p *project) succeed(t testing.TB, args ...string) *process {
	t.Helper()
	return p.start(t, args...).wantStatus(t, 0)
}

// A process is a command that runs.
type process struct {
	cmd    *exec.Cmd
	stdout output
	stderr output
	ended  chan struct{}
	err    error // once ended is closed
}

func startProcess(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, ended: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = &p.stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &p.stderr
	}
	cmd.WaitDelay = 5 * time.Second // for children that outlive it, and have its streams
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.ended
	})
	return p
}

// until waits for stderr to match.
func (p *process) until(t testing.TB, pattern string) {
	t.Helper()
	select {
	case <-p.stderr.match(pattern):
	case <-p.ended:
		t.Fatalf("ended (%v) before its stderr matched %q:\n%s", p.err, pattern, p.stderr.String())
	case <-time.After(patience):
		t.Fatalf("stderr did not match %q:\n%s", pattern, p.stderr.String())
	}
}

func (p *process) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// status waits for the end; a process that a signal killed has 128 + its number.
func (p *process) status(t testing.TB) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("%v does not end:\n%s", p.cmd.Args, p.stderr.String())
	}
	var exit *exec.ExitError
	switch {
	case p.err == nil, errors.Is(p.err, exec.ErrWaitDelay):
		return 0
	case !errors.As(p.err, &exit):
		t.Fatal(p.err)
	case exit.Sys().(syscall.WaitStatus).Signaled():
		return 128 + int(exit.Sys().(syscall.WaitStatus).Signal())
	}
	return exit.ExitCode()
}

func (p *process) wantStatus(t testing.TB, want int) *process {
	t.Helper()
	if got := p.status(t); got != want {
		t.Fatalf("%v: status %d, want %d\n%s%s", p.cmd.Args, got, want, p.stdout.String(), p.stderr.String())
	}
	return p
}

// wantError is a status and what stderr must say, without a Go or Python crash.
func (p *process) wantError(t testing.TB, status int, pattern string) {
	t.Helper()
	p.wantStatus(t, status)
	text := p.stderr.String()
	if !regexp.MustCompile(pattern).MatchString(text) {
		t.Errorf("stderr does not match %q:\n%s", pattern, text)
	}
	for _, crash := range []string{"panic:", "Fatal Python", "SIGSEGV", pgtest.Password} {
		if strings.Contains(text, crash) {
			t.Errorf("stderr has %q:\n%s", crash, text)
		}
	}
}

// output is a buffer that says when its text matches.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	waiters map[*regexp.Regexp]chan struct{}
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(b)
	for pattern, matched := range o.waiters {
		if pattern.Match(o.text.Bytes()) {
			close(matched)
			delete(o.waiters, pattern)
		}
	}
	return len(b), nil
}

func (o *output) match(pattern string) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	re, matched := regexp.MustCompile(pattern), make(chan struct{})
	if re.Match(o.text.Bytes()) {
		close(matched)
		return matched
	}
	if o.waiters == nil {
		o.waiters = map[*regexp.Regexp]chan struct{}{}
	}
	o.waiters[re] = matched
	return matched
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// query asks the project's database, past everything that is tested, and gives
// the first column of each row as text.
func (p *project) query(t testing.TB, sql string) []string {
	t.Helper()
	if !p.onSQLite() {
		return queryPostgres(t, p.plainURL(), sql)
	}
	_, file, _ := strings.Cut(p.url, ":///")
	cmd := exec.Command(p.python.Bin("python"), "-c", `
import sqlite3, sys
for row in sqlite3.connect(sys.argv[1]).execute(sys.argv[2]):
    print(row[0])`, file, sql)
	cmd.Env = venv.CleanEnv()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", sql, err, out)
	}
	return strings.Fields(string(out))
}

func queryPostgres(t testing.TB, url, sql string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return texts
}

// schema is everything that the migrations made, as text.
func (p *project) schema(t testing.TB) string {
	t.Helper()
	sql := `
		SELECT format('%s.%s %s %s', table_name, column_name, data_type, is_nullable)
			FROM information_schema.columns WHERE table_schema = 'public'
		UNION ALL SELECT i.indexdef || x.indisvalid FROM pg_indexes i
			JOIN pg_index x ON x.indexrelid = i.indexname::regclass WHERE i.schemaname = 'public'
		UNION ALL SELECT conname || pg_get_constraintdef(oid)
			FROM pg_constraint WHERE connamespace = 'public'::regnamespace
		ORDER BY 1`
	if p.onSQLite() {
		sql = "SELECT type || name || coalesce(sql, '') FROM sqlite_master ORDER BY 1"
	}
	parts := p.query(t, sql)
	parts = append(parts, p.query(t, "SELECT 'ran ' || revision FROM ran ORDER BY 1")...)
	parts = append(parts, p.query(t, "SELECT 'at ' || version_num FROM alembic_version")...)
	return strings.Join(parts, "\n")
}

// wantRan is each of the first n revisions once, and the version table to match.
func (p *project) wantRan(t testing.TB, n int) {
	t.Helper()
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("%04d", i+1))
	}
	got := strings.Join(p.query(t, "SELECT revision FROM ran ORDER BY 1"), " ")
	if got != strings.Join(want, " ") {
		t.Errorf("these revisions have run: %s; want the first %d, each once", got, n)
	}
	version := strings.Join(p.query(t, "SELECT version_num FROM alembic_version"), " ")
	if version != fmt.Sprintf("%04d", n) {
		t.Errorf("the version table says %s, want %04d", version, n)
	}
}
