package tests

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

var update = flag.Bool("update", false, "write the documents of testdata/status anew; a change is one of their form")

// A standing is what `status --json` prints of one database.
type standing struct {
	Form         int      `json:"form"`
	Heads        []string `json:"heads"`
	Database     string   `json:"database"`
	Server       struct{ Name, Version string }
	VersionTable struct {
		Schema *string
		Name   string
		Exists bool
	} `json:"version_table"`
	Current  []string `json:"current"`
	Pending  []string `json:"pending"`
	Unknown  []string `json:"unknown"`
	UpToDate bool     `json:"up_to_date"`
	Lock     *struct {
		Holder string
		Waits  string
		PID    *int
		Since  *string
	} `json:"lock"`
	InvalidIndexes []struct{ Schema, Name, Table string } `json:"invalid_indexes"`
	Databases      []standing                             `json:"databases"`
}

func (p *project) standing(t testing.TB, args ...string) standing {
	t.Helper()
	var s standing
	out := p.succeed(t, append(args, "status", "--json")...).stdout.String()
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return s
}

// editINI changes alembic.ini, which must have old.
func (p *project) editINI(t testing.TB, old, new string) {
	t.Helper()
	file := filepath.Join(p.dir, "alembic.ini")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("alembic.ini has no %q", old)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), old, new, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// branchedProject has two branches, one of which depends on the other, a
// merge, a revision without a date, and one in a directory outside.
func branchedProject(t testing.TB) *project {
	t.Helper()
	p := newProject(t, "sqlite")
	for file, text := range map[string]string{
		"alembic/versions/0001_first.py": `"""first tables

Revision ID: 0001
Create Date: 2026-01-02 03:04:05.678901
"""
print("a revision may print")
revision, down_revision = "0001", None
branch_labels = "shop"
`,
		"alembic/versions/late/0002_left.py": `"""left, with "quotes"

Create Date: 2026-01-03 03:04:05+02:00
"""
revision, down_revision = "0002", "0001"
`,
		"alembic/versions/0003_right.py": `"""right
of two lines
"""
revision, down_revision = "0003", "0001"
`,
		"alembic/versions/0004_merge.py": `"""both

Create Date: when it was ready
"""
revision, down_revision = "0004", ("0002", "0003")
`,
		"other/0005.py": `
revision, down_revision = "0005", None
branch_labels, depends_on = ("audit",), "shop"
`,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(p.dir, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		text += "\n\ndef upgrade():\n    pass\n\n\ndef downgrade():\n    pass\n"
		if err := os.WriteFile(filepath.Join(p.dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p.editINI(t, "[alembic]\n", "[alembic]\nrecursive_version_locations = true\n"+
		"version_locations = %(here)s/alembic/versions:%(here)s/other\n")
	return p
}

// The form of the documents is a contract (docs/status.md).
func TestFormOfTheDocuments(t *testing.T) {
	p := branchedProject(t)
	url := p.url
	p.url = "" // history needs no database
	golden(t, p, "history.json", p.succeed(t, "history", "--json"))
	golden(t, p, "range.json", p.succeed(t, "history", "--json", "-r", "0001:0002"))
	p.start(t, "history", "--json", "-i").wantError(t, 2, "status --json")
	p.url = url
	p.succeed(t, "upgrade", "0002")
	golden(t, p, "status.json", p.succeed(t, "status", "--json"))
	golden(t, p, "upgrade.json", p.succeed(t, "upgrade", "heads", "--json"))
	golden(t, p, "current.json", p.succeed(t, "current", "--json"))
	golden(t, p, "heads.json", p.succeed(t, "heads", "--json"))
}

func golden(t *testing.T, p *project, name string, run *process) {
	t.Helper()
	file := filepath.Join("testdata", "status", name)
	got := strings.ReplaceAll(run.stdout.String(), p.dir, "/DIR")
	got = regexp.MustCompile(`"version": "[\d.]+"`).ReplaceAllString(got, `"version": "VERSION"`)
	got = regexp.MustCompile(`"seconds": [\d.]+`).ReplaceAllString(got, `"seconds": 0.5`)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	same(t, name, string(want), got)
}

func TestStatus(t *testing.T) {
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, driver)
			p.reviseMany(t, 12)
			s := p.standing(t)
			if len(s.Pending) != 12 || len(s.Current) != 0 || s.UpToDate || s.VersionTable.Exists {
				t.Errorf("of a new database: %+v", s)
			}
			text := p.succeed(t, "status").stdout.String()
			for _, want := range []string{"alembic_version does not exist", "12 revisions are pending", "0010", "and 2 more", "`reflex db upgrade head`"} {
				if !strings.Contains(text, want) {
					t.Errorf("status of a new database has no %q:\n%s", want, text)
				}
			}
			if strings.Contains(text, pgtest.Password) || strings.Contains(text, "\x1b") {
				t.Errorf("status has a password or a colour:\n%s", text)
			}
			p.start(t, "status", "--check").wantError(t, 1, "12 revisions are pending")
			if s = p.standing(t); s.VersionTable.Exists {
				t.Error("status has made the version table")
			}

			p.succeed(t, "upgrade", "0011")
			s = p.standing(t)
			if !reflect.DeepEqual(s.Current, []string{"0011"}) || !reflect.DeepEqual(s.Pending, []string{"0012"}) || s.UpToDate {
				t.Errorf("in between: %+v", s)
			}
			p.succeed(t, "upgrade", "head")
			p.succeed(t, "status", "--check")
			if s = p.standing(t); !s.UpToDate || len(s.Pending) != 0 || s.Lock != nil || !s.VersionTable.Exists {
				t.Errorf("at head: %+v", s)
			}

			// An older checkout.
			if err := os.Remove(filepath.Join(p.dir, "alembic", "versions", "0012.py")); err != nil {
				t.Fatal(err)
			}
			s = p.standing(t)
			if !reflect.DeepEqual(s.Unknown, []string{"0012"}) || !reflect.DeepEqual(s.Current, s.Unknown) || s.UpToDate {
				t.Errorf("of an older checkout: %+v", s)
			}
			p.start(t, "status", "--check").wantError(t, 1, "0012, which this project does not have")
		})
	}
}

// A version table that holds a revision and one that it follows is what
// `upgrade` refuses too.
func TestStatusOfAVersionTableThatIsWrong(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	p.reviseMany(t, 2)
	p.revise(t, `op.execute("INSERT INTO alembic_version VALUES ('0001')")`)
	p.replace(t, 3, "INSERT INTO ran VALUES", "INSERT INTO ran (revision) VALUES")
	p.succeed(t, "upgrade", "head")
	p.start(t, "upgrade", "head").wantError(t, 1, "overlaps")
	p.start(t, "status").wantError(t, 1, "The version table can't be right: .*overlaps.*stamp --purge")
}

// A later Alembic may have a status of its own, and history's options.
func TestStatusStepsAside(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	path := t.TempDir()
	text := `import alembic.command, alembic.config
def status(config, graph=False):
    """Alembic's own status."""
    print("this is Alembic's status")
status.__module__ = "alembic.command"
alembic.command.status = status
def history(config, rev_range=None, verbose=False, indicate_current=False, graph=False):
    """Alembic's own history."""
    print("this is Alembic's history", graph)
history.__module__ = "alembic.command"
alembic.command.history = history
alembic.config.CommandLine._KWARGS_OPTS["graph"] = ("--graph", dict(action="store_true"))
`
	if err := os.WriteFile(filepath.Join(path, "sitecustomize.py"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p.env = append(p.env, "PYTHONPATH="+path)
	for _, c := range []struct{ command, want string }{
		{"status --graph", "this is Alembic's status\n"},
		{"history --graph", "this is Alembic's history True\n"},
		{"history --dot", "digraph history {\n"},
	} {
		got := p.succeed(t, strings.Fields(c.command)...).stdout.String()
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: want %q, have\n%s", c.command, c.want, got)
		}
	}
	p.start(t, "status", "--check").wantError(t, 2, "unrecognized arguments: --check")
}

func TestStatusOfAServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	p := newProject(t, "postgresql+psycopg")
	p.url = "postgresql+psycopg://app:" + pgtest.Password + "@127.0.0.1:1/shop"
	p.start(t, "status", "--check").wantError(t, 4, "can't be reached")
	p.start(t, "status", "--wait", "1s").wantError(t, 4, "Waited 1s")
}

// Who waits sees what another has committed, and is in nobody's way: not in
// that of a CREATE INDEX CONCURRENTLY either.
func TestStatusWait(t *testing.T) {
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, driver)
			thirty(t, p, "pass")
			waits := p.start(t, "status", "--wait", "2m")
			waits.until(t, "Waiting for the database to be at head: 30 revisions are pending")
			p.succeed(t, "upgrade", "0015")
			p.succeed(t, "upgrade", "head")
			waits.wantStatus(t, 0)
			if text := waits.stdout.String(); !strings.Contains(text, "Up to date.") {
				t.Errorf("status --wait has printed\n%s", text)
			}
		})
	}
}

func TestStatusWaitRunsOut(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	p.reviseMany(t, 2)
	p.start(t, "status", "--wait", "300ms").wantError(t, 1, "300ms have passed.*2 revisions are pending")
	p.start(t, "status", "--wait", "0").wantError(t, 1, "2 revisions are pending")
	waits := p.start(t, "status", "--wait", "5m")
	waits.until(t, "Waiting")
	waits.signal(t, syscall.SIGTERM)
	waits.wantStatus(t, 143)
}

func TestStatusWaitOutlivesItsServer(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"postgresql+psycopg", "postgresql+psycopg2", "postgresql+asyncpg"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			server := pgtest.Start(t)
			p := newProjectOn(t, t.TempDir(), withDriver(server.URL("postgres"), driver))
			p.reviseMany(t, 2)
			waits := p.start(t, "status", "--wait", "2m")
			waits.until(t, "Waiting for the database to be at head")
			server.Stop(syscall.SIGINT)
			waits.until(t, "Waiting for the database: ")
			if err := server.Resume(); err != nil {
				t.Fatal(err)
			}
			p.succeed(t, "upgrade", "head")
			waits.wantStatus(t, 0)
		})
	}
}

func TestStatusNamesTheHolderOfTheLock(t *testing.T) {
	t.Parallel()
	for _, driver := range lockDrivers {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			p, _ := holding(t, driver)
			s := p.standing(t)
			if s.Lock == nil || s.Lock.Holder == "" || (!p.onSQLite() && s.Lock.Since == nil) {
				t.Errorf("the lock is held, and status says %+v", s.Lock)
			}
			if text := p.succeed(t, "status").stdout.String(); !strings.Contains(text, "held by ") {
				t.Errorf("status does not say who holds the lock:\n%s", text)
			}
		})
	}
}

// Colour is for a terminal, on which no line is wider than it.
func TestStatusOnATerminal(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	p.reviseMany(t, 1)
	for _, c := range []struct{ env, want string }{
		{"NO_COLOR=", "\x1b[33m1 revision is pending.\x1b[0m\r\n"},
		{"NO_COLOR=1", "           1 revision is pending.\r\n"},
	} {
		cmd := p.command(t, "status")
		cmd.Env = append(cmd.Env, c.env)
		terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 20, Cols: 30})
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(terminal) // which ends with an error, as terminals do
		_ = terminal.Close()
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), c.want) || !strings.Contains(string(text), "Database   ...") || !strings.Contains(string(text), "/app.db\r\n") {
			t.Errorf("with %s: want %q in\n%q", c.env, c.want, text)
		}
	}
}

func TestStatusSeesInvalidIndexes(t *testing.T) {
	t.Parallel()
	p := newProject(t, "postgresql+psycopg")
	p.revise(t, "op.execute('INSERT INTO ran VALUES (0), (0)')")
	p.succeed(t, "upgrade", "head")
	p.revise(t, `with op.get_context().autocommit_block():
    op.create_index('of "a" mind', 'ran', ['revision'], unique=True, postgresql_concurrently=True)`)
	p.start(t, "upgrade", "head").wantError(t, 1, "duplicate|unique")
	s := p.standing(t)
	if len(s.InvalidIndexes) != 1 || s.InvalidIndexes[0].Name != `of "a" mind` || s.InvalidIndexes[0].Table != "ran" {
		t.Errorf("the invalid indexes are %+v", s.InvalidIndexes)
	}
	text := p.succeed(t, "status").stdout.String()
	if !strings.Contains(text, `DROP INDEX CONCURRENTLY public."of ""a"" mind"`) {
		t.Errorf("status does not say what to do about an invalid index:\n%s", text)
	}
}

// Each database that env.py configures is a part, and so is a section of -n.
func TestStatusOfSeveralDatabases(t *testing.T) {
	t.Parallel()
	p := &project{dir: t.TempDir(), python: venv.Get(t, venv.Newest(t), requirements...)}
	p.succeed(t, "init", "-t", "multidb", "alembic")
	p.editINI(t, "driver://user:pass@localhost/dbname\n", "sqlite:///one.db\n")
	p.editINI(t, "driver://user:pass@localhost/dbname2\n", "sqlite:///two.db\n")
	p.succeed(t, "revision", "-m", "first", "--rev-id", "0001")
	p.editINI(t, "databases = engine1, engine2", "databases = engine1")
	p.succeed(t, "upgrade", "head")
	s := p.standing(t)
	if s.Database != "sqlite:///one.db" || !s.UpToDate || s.Databases != nil {
		t.Errorf("of one database: %+v", s)
	}
	p.editINI(t, "databases = engine1", "databases = engine1, engine2")
	s = p.standing(t)
	if s.UpToDate || s.Form != 1 || len(s.Databases) != 2 || !s.Databases[0].UpToDate || s.Databases[1].UpToDate || s.Database != "" {
		t.Errorf("of two databases: %+v", s)
	}
	p.start(t, "status", "--check").wantError(t, 1, "not at head: 0001 is pending")
	waits := p.start(t, "status", "--wait", "2m")
	waits.until(t, "Waiting")
	p.succeed(t, "upgrade", "head")
	waits.wantStatus(t, 0)

	p.editINI(t, "[alembic]\n", "[other]\nscript_location = %(here)s/alembic\npath_separator = os\n"+
		"databases = engine3\n[engine3]\nsqlalchemy.url = sqlite:///three.db\n[alembic]\n")
	if s = p.standing(t, "-n", "other"); s.Database != "sqlite:///three.db" || s.UpToDate {
		t.Errorf("of the section other: %+v", s)
	}
}

// env.py may set what is to hold for its transaction, and print.
func TestStatusOfASchema(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"postgresql+psycopg", "postgresql+psycopg2", "postgresql+asyncpg"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, driver)
			p.reviseMany(t, 1)
			p.edit(t, "        context.run_migrations()\n", `        print("env.py prints")
        context.execute("CREATE SCHEMA IF NOT EXISTS tenant")
        context.execute("SET search_path TO tenant")
        context.run_migrations()
`)
			waits := p.start(t, "status", "--wait", "2m")
			waits.until(t, "Waiting")
			p.succeed(t, "upgrade", "head")
			waits.wantStatus(t, 0)
			if s := p.standing(t); !s.UpToDate {
				t.Errorf("%+v", s)
			}
			if got := fmt.Sprint(p.query(t, "SELECT schemaname::text FROM pg_tables WHERE tablename = 'alembic_version'")); got != "[tenant]" {
				t.Errorf("the version table is in %s", got)
			}
		})
	}
}
