package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// crowd is how many runs start at once.
const crowd = 16

// lockDrivers leave aiosqlite out, whose lock is that of sqlite.
var lockDrivers = []string{"sqlite", "postgresql+psycopg", "postgresql+psycopg2", "postgresql+asyncpg"}

// holdUp makes a revision wait where file is not there yet, having written its
// process id to it: the first run to get there stays, the others pass by.
func holdUp(file string) string {
	return fmt.Sprintf(`try:
    fd = os.open(%[1]q + ".new", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
except FileExistsError:
    pass
else:
    os.write(fd, str(os.getpid()).encode())
    os.link(%[1]q + ".new", %[1]q)
    time.sleep(600)`, file)
}

// held waits for holdUp's file and gives the process id in it.
func held(t testing.TB, file string) int {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if text, err := os.ReadFile(file); err == nil {
			pid, err := strconv.Atoi(string(text))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("no run got to the revision that waits")
	return 0
}

// thirty revisions, the tenth of which makes an index concurrently.
func thirty(t testing.TB, p *project, tenth string) {
	p.reviseMany(t, 9)
	if p.onSQLite() {
		tenth += "\nop.create_index('late', 't1', ['n'])"
	} else {
		tenth += `
with op.get_context().autocommit_block():
    op.create_index('late', 't1', ['n'], postgresql_concurrently=True, if_not_exists=True)`
	}
	p.revise(t, tenth)
	p.replace(t, 10, "INSERT INTO ran VALUES", "INSERT INTO ran (revision) VALUES")
	p.reviseMany(t, 20)
}

// Sixteen runs at once on a new database: each ends with 0, and each revision
// has run once.
func TestConcurrentRuns(t *testing.T) {
	for _, driver := range lockDrivers {
		t.Run(driver, func(t *testing.T) {
			p := newProject(t, driver)
			thirty(t, p, "pass")
			before := files(t, p.dir)
			var runs []*process
			for range crowd {
				runs = append(runs, p.start(t, "upgrade", "head"))
			}
			for _, run := range runs {
				run.wantStatus(t, 0)
			}
			p.wantRan(t, 30)
			if after := files(t, p.dir); after != before {
				t.Errorf("there were the files\n%s\nand now there are\n%s", before, after)
			}
		})
	}
}

// files is every file of the project but the database and Python's caches.
func files(t testing.TB, dir string) string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if entry.IsDir() && entry.Name() == "__pycache__" {
			return filepath.SkipDir
		}
		if entry.Name() != "app.db" {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(found, "\n")
}

// The run that holds the lock is killed in the middle of the tenth revision,
// while the others wait: they finish, each with 0.
func TestLockHolderIsKilled(t *testing.T) {
	for _, driver := range lockDrivers {
		t.Run(driver, func(t *testing.T) {
			p := newProject(t, driver)
			file := filepath.Join(t.TempDir(), "pid")
			thirty(t, p, holdUp(file))
			before := files(t, p.dir)
			var runs []*process
			for range crowd {
				runs = append(runs, p.start(t, "upgrade", "head"))
			}
			victim := held(t, file)
			for _, run := range runs {
				if run.cmd.Process.Pid != victim {
					run.until(t, "Waiting for another migration")
				}
			}
			if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			for _, run := range runs {
				if run.cmd.Process.Pid != victim {
					run.wantStatus(t, 0)
				}
			}
			p.wantRan(t, 30)
			if after := files(t, p.dir); after != before {
				t.Errorf("there were the files\n%s\nand now there are\n%s", before, after)
			}
		})
	}
}

// holding starts a run that stays in its second revision, holding the lock.
func holding(t *testing.T, driver string) (p *project, holder *process) {
	t.Helper()
	p = newProject(t, driver)
	file := filepath.Join(t.TempDir(), "pid")
	p.revise(t, "pass")
	p.revise(t, holdUp(file))
	holder = p.start(t, "upgrade", "head")
	held(t, file)
	return p, holder
}

const holderPattern = `held by pid \d+, "reflex db lock \(.*, pid %d\)", from 127\.0\.0\.1, since \d\d:\d\d:\d\d`

func TestLockTimeout(t *testing.T) {
	t.Parallel()
	p, holder := holding(t, "postgresql+psycopg")
	name := fmt.Sprintf(holderPattern, holder.cmd.Process.Pid)
	for timeout, says := range map[string]string{"0": "--lock-timeout is 0", "300ms": "did not end within 300ms"} {
		p.start(t, "upgrade", "head", "--lock-timeout", timeout).wantError(t, 5, says+".*"+name)
	}
	// Those that only read don't wait, and --no-lock doesn't either.
	p.succeed(t, "current")
	p.succeed(t, "upgrade", "head", "--sql")
	p.succeed(t, "stamp", "0001", "--no-lock")
	for _, args := range [][]string{{"downgrade", "base"}, {"stamp", "head"}, {"ensure_version"}, {"migrate"}} {
		p.start(t, append(args, "--lock-timeout", "0")...).wantStatus(t, 5)
	}
}

func TestLockTimeoutOnSQLite(t *testing.T) {
	t.Parallel()
	p, _ := holding(t, "sqlite")
	p.start(t, "upgrade", "head", "--lock-timeout", "0").
		wantError(t, 5, "--lock-timeout is 0.*held by another process on this machine")
}

// Two version tables in one database are two projects, which don't wait for
// each other.
func TestLockIsOfTheVersionTable(t *testing.T) {
	t.Parallel()
	p, _ := holding(t, "postgresql+psycopg")
	other := newProjectOn(t, t.TempDir(), p.url)
	other.revise(t, "pass")
	other.replace(t, 1, "'ran'", "'ran2'")
	other.replace(t, 1, "INTO ran ", "INTO ran2 ")
	env := filepath.Join(other.dir, "alembic", "env.py")
	text, err := os.ReadFile(env)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "context.configure(", "context.configure(version_table='other',", 1)
	if err := os.WriteFile(env, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	other.succeed(t, "upgrade", "head", "--lock-timeout", "0")
}

// Without a terminal, who waits says so in lines; on one, in one line that is
// renewed in place and no wider than the terminal, and gone at the end.
func TestWaitingLine(t *testing.T) {
	t.Parallel()
	p, holder := holding(t, "postgresql+psycopg")
	name := fmt.Sprintf(holderPattern, holder.cmd.Process.Pid)
	waiting := p.start(t, "upgrade", "head")
	waiting.until(t, `(?m)^Waiting for another migration: `+strings.TrimPrefix(name, "held by ")+`; \S+ left$`)

	const width = 60
	run, _ := onTerminal(t, p.command(t, "upgrade", "head"), width)
	run.until(t, `(?s)(\rWaiting: pid \d+, since \d\d:\d\d:\d\d; \S+ left.*){3}`)
	holder.signal(t, syscall.SIGKILL)
	run.wantStatus(t, 0)
	text := run.stderr.String()
	lines := strings.Split(text, "\r")
	for _, line := range lines {
		line, renewed := strings.CutSuffix(line, "\x1b[K")
		if renewed && (len(line) >= width || strings.Contains(line, "\n")) {
			t.Errorf("%q takes more than a row of %d", line, width)
		}
	}
	if !strings.Contains(text, "\r\x1b[K") {
		t.Errorf("the line is not taken away at the end: %q", text)
	}
	waiting.wantStatus(t, 0)
	if n := strings.Count(waiting.stderr.String(), "Waiting"); n > 2 {
		t.Errorf("%d lines without a terminal", n)
	}
	p.wantRan(t, 2)
}

// The lock's connection dies during a revision: the run stops before that
// revision's commit.
func TestLockIsLost(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers[2:] {
		t.Run(driver, func(t *testing.T) {
			p := newProject(t, driver)
			p.reviseMany(t, 2)
			file := filepath.Join(t.TempDir(), "go on")
			p.revise(t, fmt.Sprintf(`sys.stderr.write("in the third\n"); sys.stderr.flush()
while not os.path.exists(%q):
    time.sleep(0.02)`, file))
			p.replace(t, 3, "INSERT INTO ran VALUES", "INSERT INTO ran (revision) VALUES")
			run := p.start(t, "upgrade", "head")
			run.until(t, "in the third")
			ended := p.query(t, `SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity
				WHERE application_name LIKE 'reflex db lock%' AND datname = current_database()`)
			if len(ended) != 1 {
				t.Fatalf("%d connections hold locks", len(ended))
			}
			if err := os.WriteFile(file, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			run.wantError(t, 1, "the migration lock was lost, so the run was stopped before its next commit")
			p.wantRan(t, 2)
			p.succeed(t, "upgrade", "head")
			p.wantRan(t, 3)
		})
	}
}
