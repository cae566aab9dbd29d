package tests

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
)

// tenants are SQLite databases, one for each name, in a directory of the
// project; REFLEX_DB_URL has a {} for the name.
func tenants(t testing.TB, p *project, n int) (names []string, list string) {
	t.Helper()
	dir := filepath.Join(p.dir, "tenants")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p.url = "sqlite:///" + filepath.Join(dir, "{}.db")
	for i := range n {
		names = append(names, fmt.Sprintf("t%03d", i))
	}
	return names, p.list(t, names...)
}

// list writes lines to a file of the project.
func (p *project) list(t testing.TB, lines ...string) string {
	t.Helper()
	file, err := os.CreateTemp(p.dir, "list-*.txt")
	if err == nil {
		_, err = file.WriteString(strings.Join(lines, "\n") + "\n")
	}
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	return file.Name()
}

// tenant is the project on one of its databases.
func (p *project) tenant(name string) *project {
	other := *p
	other.url = strings.ReplaceAll(p.url, "{}", name)
	return &other
}

func (p *project) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// eachRecord is a line of --report.
type eachRecord struct {
	Name, Outcome, Message string
	Status                 *int
	From, To, Target       *string
	Revisions, Tries       int
	InTheWay               string `json:"in_the_way"`
	Seconds                float64
}

func records(t testing.TB, file string) map[string]eachRecord {
	t.Helper()
	opened, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	found := map[string]eachRecord{}
	for lines := bufio.NewScanner(opened); lines.Scan(); {
		var r eachRecord
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		if _, twice := found[r.Name]; twice {
			t.Errorf("%s is in the report twice", r.Name)
		}
		found[r.Name] = r
	}
	return found
}

func countOutcomes(all map[string]eachRecord) map[string]int {
	count := map[string]int{}
	for _, r := range all {
		count[r.Outcome]++
	}
	return count
}

// 200 databases of two kinds, two of them broken: each is done or reported, no
// password is seen, and what has failed is done by the next run.
func TestEach(t *testing.T) {
	server := pgtest.Start(t, pgtest.HBA("local all all trust", "host all all 127.0.0.1/32 scram-sha-256"))
	p := newProject(t, "sqlite")
	p.reviseMany(t, 5)
	server.Exec(t, "postgres", fmt.Sprintf("ALTER USER %s PASSWORD '%s'", pgtest.User, plainSecret))
	var lines []string
	for i := range 180 {
		lines = append(lines, fmt.Sprintf("lite%d sqlite:///%s/lite%d.db", i, p.dir, i))
	}
	url := func(i int, password string) string {
		return fmt.Sprintf("pg%d postgresql+psycopg://%s:%s@127.0.0.1:%d/pg%d", i, pgtest.User, password, server.Port, i)
	}
	for i := range 20 {
		server.Exec(t, "postgres", fmt.Sprintf("CREATE DATABASE pg%d", i))
		lines = append(lines, url(i, plainSecret))
	}
	lines[185] = url(5, plainSecret+"wrong")
	server.Exec(t, "pg7", "CREATE TABLE t3 (in_the_way integer)")
	list, report, failed := p.list(t, lines...), filepath.Join(p.dir, "run.jsonl"), filepath.Join(p.dir, "failed.txt")
	if err := os.WriteFile(failed, []byte("what was there before\n"), 0o666); err != nil {
		t.Fatal(err)
	}

	run := p.start(t, "upgrade", "head", "--each", list, "--jobs=3", "--keep-going", "--failed", failed, "--report", report)
	run.wantError(t, 1, "200 databases: 198 ok, 2 failed, in ")
	found := records(t, report)
	if got := countOutcomes(found); got["ok"] != 198 || got["failed"] != 2 {
		t.Errorf("the report has %v", got)
	}
	if r := found["pg5"]; r.Status == nil || *r.Status != 4 || !strings.Contains(r.Message, "password") || r.From != nil {
		t.Errorf("the wrong password: %+v", r)
	}
	if r := found["pg7"]; r.Status == nil || *r.Status != 1 || *r.From != "" || *r.To != "0002" || r.Revisions != 2 {
		t.Errorf("the migration that fails: %+v", r)
	}
	if r := found["lite0"]; *r.From != "" || *r.To != "0005" || r.Revisions != 5 || *r.Status != 0 || r.Seconds == 0 {
		t.Errorf("one that is well: %+v", r)
	}
	if n := len(strings.Split(strings.TrimSpace(run.stdout.String()), "\n")); n != 200 {
		t.Errorf("stdout has %d lines:\n%s", n, run.stdout.String())
	}
	for _, pattern := range []string{
		`(?m)^ok          lite0  <base> -> 0005  \d+\.\d\ds$`,
		`(?m)^failed      pg7  <base> -> 0002  \d+\.\d\ds  ProgrammingError: .*"t3" already exists`,
		`(?m)^failed      pg5  \d+\.\d\ds  The password for app was refused by 127.0.0.1:`,
	} {
		if !regexp.MustCompile(pattern).MatchString(run.stdout.String()) {
			t.Errorf("stdout has no %s:\n%s", pattern, run.stdout.String())
		}
	}
	for _, text := range []string{
		"pg7: INFO  [alembic.runtime.migration] Running upgrade 0002 -> 0003", "pg7: Error: 0003 (alembic/versions/", "failed and was rolled back; ", " is at 0002\n", "pg7: ProgrammingError",
		"failed: pg5: The password for app was refused", "Next: mend what failed, and give the same command with --each " + failed,
	} {
		if !strings.Contains(run.stderr.String(), text) {
			t.Errorf("stderr has no %q:\n%s", text, run.stderr.String())
		}
	}
	if strings.Contains(run.stderr.String(), "lite0") {
		t.Errorf("what was well is on stderr:\n%s", run.stderr.String())
	}
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{"stdout": run.stdout.String(), "stderr": run.stderr.String(), "the report": string(text)} {
		if form := leak([]byte(text)); form != "" {
			t.Errorf("%s has the password %q", where, form)
		}
	}
	rest, err := os.ReadFile(failed)
	if err != nil || string(rest) != lines[185]+"\n"+lines[187]+"\n" {
		t.Errorf("left to do: %q %v", rest, err)
	}
	if info, err := os.Stat(failed); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of passwords is %v %v", info.Mode(), err)
	}

	// Mended, the same list again: what is done is left alone, the rest is done.
	server.Exec(t, "pg7", "DROP TABLE t3")
	p.write(t, "failed.txt", strings.ReplaceAll(string(rest), "wrong", ""))
	p.start(t, "upgrade", "head", "--each", failed, "--failed", failed).wantStatus(t, 0)
	again := p.succeed(t, "current", "--each", p.list(t, append(lines[:185], lines[186:]...)...))
	if n := strings.Count(again.stdout.String(), ": 0005 (head)\n"); n != 199 {
		t.Errorf("%d of 199 are at the head:\n%s", n, again.stdout.String())
	}
	if rest, err := os.ReadFile(failed); err != nil || len(rest) != 0 {
		t.Errorf("left to do: %q %v", rest, err)
	}
}

// At a failure no other database is begun, and what was not is said.
func TestEachEndsAtAFailure(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	names, list := tenants(t, p, 6)
	p.revise(t, `if "t002" in os.environ["REFLEX_DB_URL"]: raise ValueError("not this one")`)
	report, failed := filepath.Join(p.dir, "run.jsonl"), filepath.Join(p.dir, "failed.txt")
	run := p.start(t, "upgrade", "head", "--jobs", "1", "--each", list, "--report", report, "--failed", failed)
	run.wantError(t, 1, `6 databases: 2 ok, 1 failed, 3 not begun(?s:.*)Error: 1 of 6 databases failed, and 3 were not begun`)
	if got := countOutcomes(records(t, report)); got["ok"] != 2 || got["failed"] != 1 || got["not begun"] != 3 {
		t.Errorf("the report has %v", got)
	}
	if text, _ := os.ReadFile(failed); string(text) != strings.Join(names[2:], "\n")+"\n" {
		t.Errorf("left to do: %q", text)
	}
	// Canaries: with t002 among them the others are not begun, whatever else is asked for.
	for first, want := range map[string]string{"3": "2 unchanged, 1 failed, 3 not begun", "2": "5 (ok|unchanged).*1 failed"} {
		run := p.start(t, "upgrade", "head", "--jobs", "4", "--first", first, "--keep-going", "--each", list)
		if first == "2" {
			want = "6 databases: 3 ok, 2 unchanged, 1 failed"
		}
		run.wantError(t, 1, want)
	}
}

// A schema for each tenant, by Alembic's recipe for -x tenant=.
func TestEachSchema(t *testing.T) {
	t.Parallel()
	p := newProject(t, "postgresql+psycopg")
	p.edit(t, "def run_on(connection: Connection) -> None:\n", `def run_on(connection: Connection) -> None:
    from sqlalchemy import text
    tenant = context.get_x_argument(as_dictionary=True)["tenant"]
    connection.execute(text(f'SET search_path TO "{tenant}"'))
    connection.commit()
    connection.dialect.default_schema_name = tenant
`)
	p.reviseMany(t, 3)
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("tenant_%d", i))
		p.exec(t, "CREATE SCHEMA "+names[i])
	}
	p.succeed(t, "-x", "tenant={}", "upgrade", "head", "--each", p.list(t, names...))
	if n := p.query(t, "SELECT count(*)::text FROM pg_tables WHERE schemaname LIKE 'tenant_%' AND tablename IN ('ran', 't1', 't2', 't3', 'alembic_version')"); n[0] != "250" {
		t.Errorf("there are %s tables, want 5 for each of 50", n[0])
	}
}

func (p *project) exec(t testing.TB, sql string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), p.plainURL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// A settings module that keeps the first URL: nothing is run on the wrong
// database, because each has a process of its own.
func TestEachWithCachedSettings(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	names, list := tenants(t, p, 5)
	p.reviseMany(t, 2)
	p.write(t, "settings.py", "import os\nURL = os.environ['REFLEX_DB_URL']\n")
	p.edit(t, `os.environ.get("REFLEX_DB_URL", "")`, `__import__("settings").URL`)
	p.succeed(t, "upgrade", "head", "--jobs", "1", "--each", list)
	for _, name := range names {
		p.tenant(name).wantRan(t, 2)
	}
	// One that goes elsewhere in any process is a failure that names both.
	p.edit(t, `__import__("settings").URL`, `"sqlite:///`+filepath.Join(p.dir, "other.db")+`"`)
	p.start(t, "upgrade", "head", "--jobs", "1", "--each", list).
		wantError(t, 1, `env.py connects to sqlite:.*/other.db, and not to sqlite:.*/t000.db; nothing was run`)
	if _, err := os.Stat(filepath.Join(p.dir, "other.db")); err == nil {
		if tables := p.tenantAt(filepath.Join(p.dir, "other.db")).query(t, "SELECT name FROM sqlite_master"); len(tables) > 0 {
			t.Errorf("the other database has %v", tables)
		}
	}
}

// An env.py that works once in a process works for each database.
func TestEachWithWhatWorksOnce(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	names, list := tenants(t, p, 4)
	p.reviseMany(t, 1)
	p.write(t, "models.py", "")
	p.edit(t, "config = context.config\n", `config = context.config
import models
if hasattr(models, "again"): raise RuntimeError("that works once")
models.again = True
`)
	p.succeed(t, "upgrade", "head", "--jobs", "1", "--each", list)
	for _, name := range names {
		p.tenant(name).wantRan(t, 1)
	}
}

func (p *project) tenantAt(file string) *project {
	other := *p
	other.url = "sqlite:///" + file
	return &other
}

// What env.py does to its process is not there for the next database, and what
// a module does when it is imported is.
func TestEachIsOnItsOwn(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	names, list := tenants(t, p, 4)
	p.reviseMany(t, 2)
	p.write(t, "models.py", `
import os
from sqlalchemy import event
from sqlalchemy.engine import Engine
os.environ["FROM_DOTENV"] = "yes"
seen = []
@event.listens_for(Engine, "engine_connect")
def of_models(connection):
    seen.append("models")
`)
	p.edit(t, "config = context.config\n", `config = context.config
import sys, signal, tempfile, warnings, models
from sqlalchemy.pool import Pool
name = os.environ["REFLEX_DB_URL"]
state = dict(
    env=os.environ.get("DIRTY"), dotenv=os.environ["FROM_DOTENV"], cwd=os.getcwd(), argv=sys.argv,
    path=[p for p in sys.path if "dirty" in p], umask=os.umask(0), level=logging.getLogger().level,
    handlers=len(logging.getLogger().handlers), disabled=logging.getLogger("sqlalchemy.pool").disabled,
    filters=len(warnings.filters), usr1=signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL,
    stdout=sys.stdout.name, listeners=len(models.seen), hook=sys.excepthook is sys.__excepthook__,
)
os.umask(state["umask"])
print("STATE", state)
models.seen.clear()
os.environ["DIRTY"] = "yes"; os.environ["HOME"] = "/nowhere"; sys.argv.append("dirty"); sys.path.insert(0, "/dirty")
os.umask(0o077); logging.getLogger().setLevel(1); logging.getLogger().addHandler(logging.StreamHandler())
logging.getLogger("sqlalchemy.pool").disabled = True; warnings.simplefilter("error"); warnings.simplefilter("default")
signal.signal(signal.SIGUSR1, lambda *_: None); sys.excepthook = print; sys.stdout = open(os.devnull, "w")
@event.listens_for(Engine, "engine_connect")
def dirty(connection): models.seen.append("dirty")
`)
	p.edit(t, "if context.is_offline_mode():", "os.chdir(tempfile.mkdtemp())\nif context.is_offline_mode():")
	run := p.succeed(t, "upgrade", "head", "-v", "--jobs", "1", "--each", list)
	states := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^(t\d+): STATE (.*)$`).FindAllStringSubmatch(run.stderr.String(), -1) {
		// Each run connects once itself, which both listeners see.
		states[regexp.MustCompile(`'listeners': 2`).ReplaceAllString(m[2], "'listeners': 0")] = append(states[m[2]], m[1])
	}
	if len(states) != 1 {
		t.Errorf("the databases have met %d states of the process, want one:\n%v\n%s", len(states), states, run.stderr.String())
	}
	for _, name := range names {
		p.tenant(name).wantRan(t, 2)
	}
}

// A worker that dies costs the database that it was at.
func TestEachWorkerDies(t *testing.T) {
	t.Parallel()
	for how, says := range map[string]string{
		"os.kill(os.getpid(), 9)":             "ended by signal 9",
		"import ctypes; ctypes.string_at(0)":  "ended by signal 11",
		"os._exit(0)":                         "the process ended in the middle",
		`os.closerange(3, 4096); os._exit(3)`: "exit status 3",
	} {
		t.Run(says, func(t *testing.T) {
			p := newProject(t, "sqlite")
			names, list := tenants(t, p, 5)
			p.revise(t, fmt.Sprintf("if 't001' in os.environ['REFLEX_DB_URL']:\n    print('last words', flush=True)\n    %s", how))
			run := p.start(t, "upgrade", "head", "--jobs", "1", "--keep-going", "--each", list)
			run.wantStatus(t, 1)
			for _, text := range []string{"4 ok, 1 failed", "t001: last words", says} {
				if !strings.Contains(run.stderr.String(), text) {
					t.Errorf("stderr has no %q:\n%s", text, run.stderr.String())
				}
			}
			for _, name := range slices.Delete(slices.Clone(names), 1, 2) {
				p.tenant(name).wantRan(t, 1)
			}
			p.replace(t, 1, how, "pass")
			p.succeed(t, "upgrade", "head", "--each", list)
			p.tenant("t001").wantRan(t, 1)
		})
	}
}

// atWork starts a run that stays in the second revision of some databases, and
// gives its workers' process ids.
func atWork(t *testing.T, p *project, list string, n int) (run *process, workers []int) {
	t.Helper()
	p.revise(t, "pass")
	p.revise(t, fmt.Sprintf(`open(%q + "/" + str(os.getpid()), "w").close()
op.create_table("half", sa.Column("i", sa.Integer))
time.sleep(600)`, t.TempDir()))
	pids := filepath.Join(t.TempDir(), "pids")
	if err := os.Mkdir(pids, 0o755); err != nil {
		t.Fatal(err)
	}
	p.replace(t, 2, "time.sleep(600)", fmt.Sprintf("open(%q + '/' + str(os.getpid()), 'w').close(); time.sleep(600)", pids))
	run = p.start(t, "upgrade", "head", "--jobs", fmt.Sprint(n), "--each", list)
	for deadline := time.Now().Add(patience); len(workers) < n; time.Sleep(20 * time.Millisecond) {
		workers = nil
		entries, err := os.ReadDir(pids)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%d workers are at work: %v\n%s", len(entries), err, run.stderr.String())
		}
		for _, entry := range entries {
			var pid int
			fmt.Sscan(entry.Name(), &pid)
			workers = append(workers, pid)
		}
	}
	return run, workers
}

// wantGone is that none of these processes is left.
func wantGone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		for deadline := time.Now().Add(soon); syscall.Kill(pid, 0) == nil && !isZombie(pid); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("the worker %d goes on", pid)
				_ = syscall.Kill(pid, syscall.SIGKILL)
				break
			}
		}
	}
}

// isZombie is of a process whose new parent does not wait for it, as in a container.
func isZombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(text), ") Z ")
}

// A signal ends every worker, whose databases are rolled back; so does the
// parent's end.
func TestEachInterrupted(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"sqlite", "postgresql+psycopg", "postgresql+asyncpg"} {
		for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
			t.Run(fmt.Sprintf("%s/%v", driver, s), func(t *testing.T) {
				p := newProject(t, driver)
				lines := []string{"a " + p.url, "b " + p.again(t).url, "c " + p.again(t).url}
				run, workers := atWork(t, p, p.list(t, lines...), 2)
				run.signal(t, s)
				run.wantStatus(t, 128+int(s))
				wantGone(t, workers)
				if s != syscall.SIGKILL && !strings.Contains(run.stderr.String(), "3 databases: 2 interrupted, 1 not begun") {
					t.Errorf("stderr:\n%s", run.stderr.String())
				}
				for _, line := range lines[:2] {
					_, url, _ := strings.Cut(line, " ")
					q := *p
					q.url = url
					wantNobody(t, &q)
					q.wantRan(t, 1)
					if strings.Contains(q.schema(t), "half") {
						t.Error("the table of the interrupted revision is there")
					}
				}
			})
		}
	}
}

// On a terminal: one line that is renewed in place, and Ctrl-C, which the
// terminal sends to all of its processes, comes to each worker once.
func TestEachOnATerminal(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	_, list := tenants(t, p, 5)
	p.revise(t, `if "t003" in os.environ["REFLEX_DB_URL"]: raise ValueError("not this one")`)
	terminal := func(args ...string) (*process, *os.File) {
		return onTerminal(t, p.command(t, args...), 90)
	}
	run, _ := terminal("upgrade", "head", "--keep-going", "--each", list)
	run.wantError(t, 1, `(?s)\d+ done, \d+ failed, \d+ left.*5 databases: 4 ok, 1 failed`)
	text := run.stderr.String()
	if !strings.Contains(text, "t003: ") || strings.Contains(text, "t001: ") || strings.Contains(text, "non-transactional") {
		t.Errorf("failures alone are told:\n%s", text)
	}
	if n := strings.Count(text, "\n"); n > 40 {
		t.Errorf("%d lines:\n%s", n, text)
	}

	p.replace(t, 1, `raise ValueError("not this one")`, `
        open("began", "w").close()
        try: time.sleep(600)
        except KeyboardInterrupt: time.sleep(0.3); open("once", "w").close(); raise`)
	run, keyboard := terminal("upgrade", "head", "--each", list)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(p.dir, "began")); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not begun:\n%s", run.stderr.String())
		}
	}
	if _, err := keyboard.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	run.wantError(t, 130, "interrupted")
	if _, err := os.Stat(filepath.Join(p.dir, "once")); err != nil {
		t.Errorf("the worker was ended by a second signal: %v\n%s", err, run.stderr.String())
	}
}

// What can't be right is known before anything begins, by the line's number.
func TestEachBadInput(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	_, list := tenants(t, p, 2)
	p.reviseMany(t, 1)
	secretLine := "x postgresql://u:" + plainSecret + "@h:nosuch/d"
	for _, c := range []struct {
		want string
		args []string
	}{
		{"no such file", []string{"upgrade", "head", "--each", "nosuch.txt"}},
		{"there is no database in the list", []string{"upgrade", "head", "--each", p.list(t, "# none")}},
		{"line 2: its URL|line 2: the port of its URL is not a number", []string{"upgrade", "head", "--each", p.list(t, "a", secretLine)}},
		{"line 3: the name a is that of line 1", []string{"upgrade", "head", "--each", p.list(t, "a", "b", "a")}},
		{"line 1: the {} of an -x or of a variable needs a name", []string{"-x", "t={}", "upgrade", "head", "--each", p.list(t, "sqlite:///x.db")}},
		{"--each makes no sense with history", []string{"history", "--each", list}},
		{"--each makes no sense with revision", []string{"revision", "-m", "x", "--each", list}},
		{"--sql to none", []string{"upgrade", "head", "--sql", "--each", list}},
		{"--each needs a value", []string{"upgrade", "head", "--each"}},
		{"--jobs 0: a number from 1", []string{"upgrade", "head", "--jobs", "0", "--each", list}},
		{"--shard 2/2: a part is I/N", []string{"upgrade", "head", "--shard", "2/2", "--each", list}},
		{"--jobs goes with --each", []string{"upgrade", "head", "--jobs", "2"}},
		{"unrecognized arguments: --nosuch", []string{"upgrade", "head", "--nosuch", "--each", list}},
		{"--failed: .*is a directory", []string{"upgrade", "head", "--each", list, "--failed", p.dir}},
		{"--report: .*no such file", []string{"upgrade", "head", "--each", list, "--report", "no/such/file"}},
	} {
		run := p.start(t, c.args...)
		run.wantError(t, 2, c.want)
		if form := leak([]byte(run.stderr.String() + run.stdout.String())); form != "" {
			t.Errorf("%v: the password %q is seen", c.args, form)
		}
	}
	if found, _ := filepath.Glob(filepath.Join(p.dir, "tenants", "*")); len(found) > 0 {
		t.Errorf("databases were touched: %v", found)
	}
	p.url = "sqlite:///all.db"
	p.start(t, "upgrade", "head", "--each", list).wantError(t, 2, "line 1: it has no URL, and there is no {}")
	cmd := p.command(t, "upgrade", "head", "--each", "-")
	cmd.Stdin = strings.NewReader("")
	startProcess(t, cmd).wantError(t, 2, "--each -: there is no database in the list")
	cmd = p.command(t, "--python", "/nosuch", "db", "upgrade", "head", "--each", list)
	cmd.Env = append(cmd.Env, "REFLEX_PYTHON=/nosuch/python", "REFLEX_DB_URL=sqlite:///{}.db")
	cmd.Args = []string{cmd.Args[0], "db", "upgrade", "head", "--each", list}
	startProcess(t, cmd).wantError(t, 3, "no usable Python")
}

// Two machines with one list at once, and two with a shard each: every database
// is migrated once.
func TestEachAtOnce(t *testing.T) {
	p := newProject(t, "sqlite")
	names, list := tenants(t, p, 12)
	p.reviseMany(t, 3)
	first, second := p.start(t, "upgrade", "head", "--each", list), p.start(t, "upgrade", "head", "--each", list)
	first.wantStatus(t, 0)
	second.wantStatus(t, 0)
	for _, name := range names {
		p.tenant(name).wantRan(t, 3)
	}
	p.reviseMany(t, 1)
	report := func(i int) string { return filepath.Join(p.dir, fmt.Sprintf("%d.jsonl", i)) }
	for i := range 3 {
		p.succeed(t, "upgrade", "head", "--each", list, "--shard", fmt.Sprintf("%d/3", i), "--report", report(i))
	}
	all := map[string]int{}
	for i := range 3 {
		for name, r := range records(t, report(i)) {
			if r.Outcome == "ok" {
				all[name]++
			}
		}
	}
	for _, name := range names {
		if all[name] != 1 {
			t.Errorf("%s was migrated by %d shards", name, all[name])
		}
	}
}

// An env.py that prints whatever it likes, wherever it likes, spoils nothing.
func TestEachWithAChattyEnvironment(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	_, list := tenants(t, p, 4)
	p.reviseMany(t, 1)
	p.edit(t, "config = context.config\n", `config = context.config
import sys
print('{"kind": "failed"}\n' * 3, flush=True)
os.write(1, b'{"kind": "ok"}' + b'x' * 3_000_000)
os.write(2, b'\xff\x00{')
os.system("echo from a shell; echo '{}' >&3; echo '{}' >&4")
for fd in range(3, 64):
    try: os.write(fd, b"{}")
    except OSError: pass
if os.fork() == 0: os.write(1, b"from a child"); os._exit(0)
os.wait()
`)
	run := p.succeed(t, "upgrade", "head", "--jobs", "1", "--each", list)
	if n := strings.Count(run.stdout.String(), "ok "); n != 4 {
		t.Errorf("stdout:\n%s", run.stdout.String())
	}
}

// A worker goes on with the next database without a lock or a connection to the
// one before. REFLEX_DB_LOCK_URL may have a {} too.
func TestEachGivesTheLockBack(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers[2:] {
		t.Run(driver, func(t *testing.T) {
			p := newProject(t, driver)
			a, b := databaseOf(p.url), databaseOf(p.again(t).url)
			p.revise(t, fmt.Sprintf(`if %q not in os.environ["REFLEX_DB_URL"]:
    return
for _ in range(200):  # the server takes its time to notice
    left = op.get_bind().exec_driver_sql("SELECT count(*) FROM pg_stat_activity WHERE datname = '%s'").scalar()
    if not left: break
    time.sleep(0.05)
else:
    raise RuntimeError(f"{left} connections are left")`, b, a))
			p.replace(t, 1, "    return", "    return op.execute(\"INSERT INTO ran VALUES ('0001')\")")
			p.env = append(p.env, "REFLEX_DB_LOCK_URL="+strings.Replace(p.url, a, "{}", 1))
			p.url = strings.Replace(p.url, a, "{}", 1)
			p.succeed(t, "upgrade", "head", "--jobs", "1", "--each", p.list(t, a, b))
			p.tenant(a).wantRan(t, 1)
			p.tenant(b).wantRan(t, 1)
		})
	}
}

func databaseOf(url string) string { return url[strings.LastIndex(url, "/")+1:] }

// Where nobody reads what is printed, a run that changes databases goes on, and
// one that only reads them ends.
func TestEachWithNoReader(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	names, list := tenants(t, p, 5)
	p.reviseMany(t, 1)
	for _, args := range [][]string{{"upgrade", "head"}, {"current"}} {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		read.Close()
		cmd := p.command(t, append(args, "--jobs", "1", "--each", list)...)
		cmd.Stdout = write
		startProcess(t, cmd).wantStatus(t, 0)
		write.Close()
	}
	for _, name := range names {
		p.tenant(name).wantRan(t, 1)
	}
}

// For commands that only read, a database's line is the answer.
func TestEachAnswers(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	p.reviseMany(t, 2)
	_, list := tenants(t, p, 2)
	p.tenant("t000").succeed(t, "upgrade", "head")
	p.tenant("t001").succeed(t, "upgrade", "0001")
	for _, c := range []struct {
		args   []string
		status int
		want   []string
	}{
		{[]string{"current"}, 0, []string{"t000: 0002 (head)", "t001: 0001"}},
		{[]string{"status"}, 0, []string{"t000: 0002  Up to date.", "t001: 0001  1 revision is pending."}},
		{[]string{"status", "--check"}, 1, []string{"t000: 0002  Up to date.", "failed      t001  0001 -> 0001  "}},
		{[]string{"status", "--json"}, 0, []string{`{"name":"t000","answer":{"form":1,`, `{"name":"t001","answer":{"form":1,`}},
	} {
		run := p.start(t, append(c.args, "--jobs", "1", "--keep-going", "--each", list)...).wantStatus(t, c.status)
		lines := strings.Split(strings.TrimSpace(run.stdout.String()), "\n")
		if len(lines) != 2 || !strings.HasPrefix(lines[0], c.want[0]) || !strings.HasPrefix(lines[1], c.want[1]) {
			t.Errorf("%v:\n%s", c.args, run.stdout.String())
		}
	}
}

// Each database's process has the signals and the patches of a plain run: nothing is
// blocked, and what env.py patches is patched for each.
func TestEachIsAPlainRun(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	names, list := tenants(t, p, 3)
	p.revise(t, `import signal
heard = []
signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.05)
while not heard: time.sleep(0.01)
print("MASK", sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), sys.argv[1:])`)
	p.edit(t, "config = context.config\n", `config = context.config
from alembic.runtime.environment import EnvironmentContext
original = EnvironmentContext.configure
def configure(self, *args, **options):
    print("PATCHED", os.path.basename(os.environ["REFLEX_DB_URL"]))
    return original(self, *args, **options)
EnvironmentContext.configure = configure
`)
	run := p.succeed(t, "upgrade", "--jobs", "1", "--each", list, "head", "-v")
	for _, name := range names {
		for _, text := range []string{": MASK [] ['upgrade', 'head', '-v']", ": PATCHED " + name + ".db"} {
			if n := strings.Count(run.stderr.String(), name+text); n != 1 {
				t.Errorf("%s%s is there %d times:\n%s", name, text, n, run.stderr.String())
			}
		}
	}
}

// A relative revision counts from where the database is: what was done must not be done
// once more, and what has stopped half way goes where it was to go.
func TestEachWithARelativeRevision(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	names, list := tenants(t, p, 3)
	p.reviseMany(t, 4)
	p.replace(t, 2, "def upgrade():", "def upgrade():\n    if os.environ.get('BREAKS', '-') in os.environ['REFLEX_DB_URL']: raise ValueError('not this one')")
	p.env = append(p.env, "BREAKS=t001")
	failed, report := filepath.Join(p.dir, "failed.txt"), filepath.Join(p.dir, "run.jsonl")
	upgrade := []string{"upgrade", "+2", "--jobs", "1", "--keep-going", "--each"}
	run := p.start(t, append(upgrade, list, "--failed", failed, "--report", report)...)
	run.wantError(t, 1, "(?s)Next: mend what failed, and give the same command with --each "+regexp.QuoteMeta(failed)+"; where a database is half way")
	if text, _ := os.ReadFile(failed); string(text) != "t001 -> 0002\n" {
		t.Errorf("left to do: %q", text)
	}
	if r := records(t, report)["t001"]; r.Target == nil || *r.Target != "0002" || *r.To != "0001" {
		t.Errorf("the report has %+v", r)
	}
	without := p.start(t, append(upgrade, p.list(t, "t001"))...)
	without.wantError(t, 1, `Next: mend what failed, and go on with those databases alone.*once more`)
	if strings.Contains(without.stderr.String(), "give the same command") {
		t.Errorf("that would do it twice:\n%s", without.stderr.String())
	}
	p.env = p.env[:len(p.env)-1]
	p.succeed(t, append(upgrade, failed, "--failed", failed)...)
	for _, name := range names {
		p.tenant(name).wantRan(t, 2)
	}
}

// Where --failed can't be written, what was there stays; a device is left as it is.
func TestEachFailedKeepsTheList(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	names, _ := tenants(t, p, 40)
	for i := range names {
		names[i] = fmt.Sprintf("%s sqlite:///%s/%s", names[i], p.dir, strings.Repeat("x", 200)+names[i])
	}
	p.revise(t, `raise ValueError("none of them")`)
	list := p.list(t, names...)
	before, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	cmd := p.command(t, "upgrade", "head", "--each", list, "--failed", list)
	cmd.Args = append([]string{"sh", "-c", `trap "" XFSZ; ulimit -f 8; exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	startProcess(t, cmd).wantError(t, 1, "--failed: .*is as it was before")
	if after, err := os.ReadFile(list); err != nil || string(after) != string(before) {
		t.Errorf("the list has %d bytes of %d: %v", len(after), len(before), err)
	}
	null, err := os.Stat("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	p.start(t, "upgrade", "head", "--each", p.list(t, "a sqlite:///a.db"), "--failed", "/dev/null").wantStatus(t, 1)
	if after, err := os.Stat("/dev/null"); err != nil || after.Mode() != null.Mode() {
		t.Errorf("/dev/null is %v now, and was %v", after.Mode(), null.Mode())
	}
}

// Every line of stdout is a JSON object, for what failed too.
func TestEachPrintsJSON(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	p.reviseMany(t, 2)
	_, list := tenants(t, p, 3)
	p.tenant("t000").succeed(t, "upgrade", "head")
	broken := p.list(t, "t000", "t001", "gone sqlite:////no/such/directory/x.db")
	for _, c := range []struct {
		args   []string
		status int
		list   string
	}{{[]string{"status", "--json"}, 0, list}, {[]string{"status", "--json", "--check"}, 1, list}, {[]string{"status", "--json"}, 1, broken}} {
		run := p.start(t, append(c.args, "--keep-going", "--each", c.list)...).wantStatus(t, c.status)
		lines := strings.Split(strings.TrimSpace(run.stdout.String()), "\n")
		for _, line := range lines {
			var object struct {
				Name   string
				Answer map[string]any
				Error  *struct{ Status int }
			}
			if err := json.Unmarshal([]byte(line), &object); err != nil || object.Name == "" {
				t.Errorf("%v: %s: %v", c.args, line, err)
			}
			if object.Name == "gone" && (object.Error == nil || object.Error.Status != 4) {
				t.Errorf("%v: %s", c.args, line)
			}
		}
		if len(lines) != 3 {
			t.Errorf("%v: %s", c.args, run.stdout.String())
		}
	}
}

// A stdout that can't be written is an error, and no migration stops for it.
func TestEachWithAFullStdout(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	p := newProject(t, "sqlite")
	names, list := tenants(t, p, 3)
	p.reviseMany(t, 1)
	cmd := p.command(t, "upgrade", "head", "--jobs", "1", "--each", list)
	cmd.Stdout = full
	startProcess(t, cmd).wantError(t, 1, `3 ok(?s:.*)could not be written: .*[Nn]o space left`)
	for _, name := range names {
		p.tenant(name).wantRan(t, 1)
	}
}

// A terminal that goes away is no interrupt.
func TestEachHungUp(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	run, workers := atWork(t, p, p.list(t, "a "+p.url), 1)
	run.signal(t, syscall.SIGHUP)
	run.wantError(t, 128+int(syscall.SIGHUP), "hung up")
	wantGone(t, workers)
}

// A server that is restarted costs the databases that were at work, and nothing is said of
// the project.
func TestEachServerRestarts(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	p := newProject(t, "sqlite")
	began := filepath.Join(t.TempDir(), "began")
	p.revise(t, fmt.Sprintf(`if "/two" in os.environ["REFLEX_DB_URL"]:
    open(%q, "w").close()
    op.execute("SELECT pg_sleep(600)")`, began))
	var lines []string
	for _, name := range []string{"one", "two", "three"} {
		server.Exec(t, "postgres", "CREATE DATABASE "+name)
		lines = append(lines, withDriver(server.URL(name), "postgresql+psycopg"))
	}
	run := p.start(t, "upgrade", "head", "--jobs", "1", "--keep-going", "--wait", "30s", "--each", p.list(t, lines...))
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(began); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not begun:\n%s", run.stderr.String())
		}
	}
	server.Restart(t)
	run.wantError(t, 1, "3 databases: 2 ok, 1 failed")
	if strings.Contains(run.stderr.String(), "keeps something") {
		t.Errorf("the project is blamed:\n%s", run.stderr.String())
	}
}

// --wait waits once for a server that does not come.
func TestEachWaitsOnceForAServer(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	p.reviseMany(t, 1)
	var lines []string
	for i := range 12 {
		lines = append(lines, fmt.Sprintf("d%d postgresql+psycopg://app@127.0.0.1:1/d%d", i, i))
	}
	run := p.start(t, "upgrade", "head", "--jobs", "1", "--keep-going", "--wait", "2s", "--each", p.list(t, lines...))
	run.wantError(t, 1, "12 databases: 12 failed")
	if n := strings.Count(run.stderr.String(), "Waited 2s"); n != 1 {
		t.Errorf("it has waited %d times:\n%s", n, run.stderr.String())
	}
}
