package tests

import (
	"bytes"
	"io/fs"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// The planted secrets: one that must be encoded in a URL, a plain one, a short
// one. No other word of these tests has them in it.
const (
	oddSecret   = `p@ss/w0rd %25+"'$`
	plainSecret = "hunter22hunter"
	shortSecret = "q7z"
	fragment    = "w0rd" // of oddSecret, which a wrong URL may take apart
)

// formsOf lists the ways in which a secret may be written.
func formsOf(secret string) []string {
	repr := strings.ReplaceAll(secret, "'", `\'`)
	json := strings.Trim(strconv.Quote(secret), `"`)
	return []string{
		secret, fragment, neturl.QueryEscape(secret), neturl.PathEscape(secret), strings.ReplaceAll(neturl.QueryEscape(secret), "+", "%20"),
		repr, json, strings.ReplaceAll(secret, "%", "%%"),
	}
}

// leak is the first form of a planted secret in text, or "".
func leak(text []byte) string {
	for _, secret := range []string{oddSecret, plainSecret, shortSecret} {
		for _, form := range formsOf(secret) {
			if bytes.Contains(text, []byte(form)) {
				return form
			}
		}
	}
	return ""
}

// everyCommand is each of Alembic's, as it does its work. In this order, on a
// new project and an empty database.
var everyCommand = []string{
	"reflex version",
	"reflex db init",
	"sed -i 's/^target_metadata = None/from sqlalchemy import MetaData; target_metadata = MetaData()/' alembic/env.py",
	"reflex db list_templates",
	"reflex db revision -m first --rev-id 0001",
	"reflex db revision -m second --rev-id 0002",
	"reflex db upgrade head --sql",
	"reflex db upgrade head -v --wait 10s",
	"reflex db current -v >/dev/null", // which shows the URL's query, as Alembic does
	"reflex db downgrade -1",
	"reflex db migrate",
	"reflex db makemigrations -m third",
	"reflex db revision --autogenerate -m fourth",
	"reflex db check",
	"reflex db history -i -v",
	"reflex db heads -v",
	"reflex db branches -v",
	"reflex db show head",
	"EDITOR=true reflex db edit head",
	"reflex db stamp head",
	"reflex db ensure_version",
	"reflex db --raiseerr current -v >/dev/null",
}

// failures end badly, in a project with two revisions.
var failures = []string{
	"reflex db upgrade nosuch --traceback",
	"reflex db merge heads",
	"reflex db nosuch",
	"REFLEX_DB_URL=$DOWN reflex db upgrade head",
	"REFLEX_DB_URL=$DOWN reflex db --raiseerr current",
	"REFLEX_DB_URL=$DOWN reflex db upgrade head --wait 1s --traceback",
	"REFLEX_DB_URL=$WRONG reflex db upgrade head --traceback",
	"REFLEX_DB_URL=$WRONG reflex db upgrade head --wait 1s",
	"REFLEX_DB_URL=${WRONG%%+psycopg:*}+psycopg2:${WRONG#*+psycopg:} reflex db current --traceback",
	"REFLEX_DB_URL=$RAW reflex db upgrade head --traceback",
	"REFLEX_DB_URL=$RAW reflex db current",
	"REFLEX_DB_URL=$RAW reflex db upgrade head --wait 1s",
	"REFLEX_DB_LOCK_URL=$RAW reflex db upgrade head --traceback",
	"REFLEX_DB_URL=nosuch${REFLEX_DB_URL#postgresql} reflex db current --traceback",
	"REFLEX_DB_URL=mysql+pymysql${REFLEX_DB_URL#postgresql+psycopg} reflex db current --traceback",
	"REFLEX_DB_URL=postgres${REFLEX_DB_URL#postgresql+psycopg} reflex db current --traceback",
	"REFLEX_DB_URL= reflex db current --traceback",
	"REFLEX_DB_URL=\"$REFLEX_DB_URL&nosuch=1\" reflex db current --traceback",
	"REFLEX_DB_URL=\"$(echo $REFLEX_DB_URL | sed 's/127.0.0.1/[/')\" reflex db current --traceback",
	"REFLEX_DB_URL=\"$(echo $REFLEX_DB_URL | sed 's/127.0.0.1:/127.0.0.1:x/')\" reflex db current --traceback",
	"REFLEX_DB_LOCK_URL=$LOCK_DOWN reflex db upgrade head --traceback",
	"REFLEX_DB_LOCK_URL=\"$LOCK_DOWN&sslmode=x\" reflex db upgrade head --traceback",
	"REFLEX_DB_LOCK_URL=no-scheme:${LOCK_DOWN#*:} reflex db upgrade head --traceback",
	"REFLEX_DB_LOCK_URL= REFLEX_ASYNC_DB_URL=$REFLEX_DB_URL reflex db stamp nosuch",
	"REFLEX_DB_LOCK_URL= reflex db upgrade head --lock-timeout 0 --ddl-lock-timeout 1s --statement-timeout 1s",
	// The URL in the configuration, where % is doubled; and one that can't be interpolated.
	`sed -i "s|^.alembic.|&\nsqlalchemy.url = $(echo $DOWN | sed 's/%/%%/g; s/&/\\&/g')|" alembic.ini; REFLEX_DB_URL= reflex db current --traceback; REFLEX_DB_URL= reflex db upgrade head --wait 1s`,
	`sed -i "s|^.alembic.|&\nsqlalchemy.url = $(echo $DOWN | sed 's/&/\\&/g')|" alembic.ini; REFLEX_DB_URL= reflex db current --traceback`,
	`sed -i 's/^level = WARNING/level = DEBUG/; s/qualname = sqlalchemy.engine/qualname = sqlalchemy/' alembic.ini; REFLEX_DB_LOCK_URL= reflex db upgrade head`,
}

// tattlers are lines of an env.py that tells what it should not. url, password
// and say, which prints to stderr, are defined before.
var tattlers = map[string]string{
	"raises the URL":      `raise ValueError(url)`,
	"raises the password": `raise ValueError(f"not <{password}>")`,
	"raises a chain": `
try:
    raise KeyError(password)
except KeyError as error:
    raise ValueError(make_url(url).query) from error`,
	"raises a group":   `raise ExceptionGroup(url, [ValueError(password), TypeError(url)])`,
	"adds a note":      "error = ValueError()\nerror.add_note(url)\nraise error",
	"exits with it":    `sys.exit(url)`,
	"prints the URL":   `print(url, repr(url), json.dumps(url), file=sys.stderr)`,
	"says the forms":   `say(url, repr(url), json.dumps(url), password, repr(password), json.dumps([password]), make_url(url).query, quote(password))`,
	"shows the locals": "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    say(''.join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))",
	"shows arguments":  `from sqlalchemy import create_engine; say(make_url(url).translate_connect_args(), create_engine(url).dialect.create_connect_args(make_url(url)))`,
	"warns":            `warnings.warn(url)`,
	"logs":             `logging.getLogger("app").error("using %s and %r", url, password)`,
	"a thread raises":  "t = threading.Thread(target=lambda: open(password + '/x'))\nt.start(); t.join()",
	"a finalizer raises": `
class Odd:
    def __del__(self): raise ValueError(url)
Odd()`,
	"atexit raises":  `atexit.register(lambda: open(url))`,
	"a task raises":  "async def f(): asyncio.create_task(g()); await asyncio.sleep(0)\nasync def g(): raise ValueError(url)\nasyncio.run(f())",
	"a child raises": "if os.fork() == 0: raise ValueError(url)\nos.wait()",
	"a query fails":  `from sqlalchemy import create_engine, text; create_engine(url).connect().execute(text("SELECT :x FROM nosuch"), {"x": url})`,
	"aborts":         `os.abort()`,
}

const tattlersStart = `
import asyncio, atexit, json, logging, os, sys, threading, traceback, warnings
from urllib.parse import quote
from sqlalchemy import make_url
url = os.environ["REFLEX_DB_URL"]
password = make_url(url).password or make_url(url).query["password"]
def say(*args): print(*args, file=sys.stderr)
`

// TestSecrets runs every command and every failure with passwords planted in
// each place of a URL, and looks for them in all that is printed and written.
func TestSecrets(t *testing.T) {
	env := venv.Get(t, venv.Newest(t), requirements...)
	server := pgtest.Start(t, pgtest.HBA("local all all trust", "host all all all scram-sha-256"))
	literal := strings.ReplaceAll(oddSecret, "'", "''")
	server.Exec(t, "postgres", "CREATE ROLE odd LOGIN SUPERUSER PASSWORD '"+literal+"'")
	server.Exec(t, "postgres", "CREATE ROLE other LOGIN PASSWORD 'another'")

	encoded := strings.ReplaceAll(neturl.QueryEscape(oddSecret), "+", "%20")
	places := map[string]string{
		"user part": "postgresql+psycopg://ROLE:" + encoded + "@127.0.0.1:PORT/?sslpassword=" + plainSecret,
		"query":     "postgresql+psycopg://ROLE@127.0.0.1:PORT/?password=" + encoded + "&sslpassword=" + plainSecret,
		"asyncpg":   "postgresql+asyncpg://ROLE:" + encoded + "@127.0.0.1:PORT/",
	}
	for place, template := range places {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			database := "secrets_" + strings.ReplaceAll(place, " ", "_")
			server.Exec(t, "postgres", "CREATE DATABASE "+database)
			url := func(role string, port int) string {
				return strings.NewReplacer("ROLE", role, "PORT/", strconv.Itoa(port)+"/"+database).Replace(template)
			}
			s := secretRun{dir: t.TempDir()}
			s.environment = venv.CleanEnv(
				"PATH="+reflexDir(t)+string(os.PathListSeparator)+os.Getenv("PATH"), "LANG=C.UTF-8",
				"VIRTUAL_ENV="+env.Dir, "HOME="+s.dir+"/home", "XDG_CACHE_HOME="+s.dir+"/cache", "TMPDIR="+s.dir+"/tmp",
				"REFLEX_DB_URL="+url("odd", server.Port),
				"WRONG="+url("other", server.Port),
				"DOWN="+url("odd", 1),
				"RAW="+strings.ReplaceAll(url("odd", server.Port), encoded, oddSecret),
				"LOCK_DOWN=postgresql://odd:"+shortSecret+"@127.0.0.1:1/x?sslpassword="+plainSecret,
			)
			for _, dir := range []string{"home", "tmp", "project"} {
				if err := os.Mkdir(filepath.Join(s.dir, dir), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, command := range everyCommand {
				s.run(t, "project", command, 0)
			}
			if place != "asyncpg" {
				for i, command := range failures {
					s.run(t, s.copyOfProject(t, strconv.Itoa(i), ""), command, -1)
				}
				for name, lines := range tattlers {
					s.run(t, s.copyOfProject(t, name, tattlersStart+lines+"\n"), "ulimit -c unlimited; GOTRACEBACK=crash REFLEX_DB_LOCK_URL=$LOCK_DOWN reflex db --traceback current", -1)
				}
			}
			s.searchFiles(t)
		})
	}
}

// secretRun is a directory with projects, and with the HOME, TMPDIR and cache of
// the commands that are run in them.
type secretRun struct {
	dir         string
	environment []string
}

// run runs a command, which must end with status unless that is -1.
func (s secretRun) run(t *testing.T, project, command string, status int) {
	t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir, cmd.Env = filepath.Join(s.dir, project), s.environment
	out, _ := cmd.CombinedOutput()
	switch form := leak(out); {
	case form != "":
		t.Errorf("%s in %s shows %s:\n%s", command, project, form, out)
	case status >= 0 && cmd.ProcessState.ExitCode() != status:
		t.Errorf("%s: exit status %d, want %d:\n%s", command, cmd.ProcessState.ExitCode(), status, out)
	case len(out) == 0 && status < 0:
		t.Errorf("%s in %s printed nothing, and failed with %v", command, project, cmd.ProcessState)
	}
}

// copyOfProject has these lines before those of env.py.
func (s secretRun) copyOfProject(t *testing.T, name, lines string) string {
	t.Helper()
	project := filepath.Join(s.dir, name)
	if err := os.CopyFS(project, os.DirFS(filepath.Join(s.dir, "project"))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(project, "alembic", "env.py")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append([]byte(lines), text...), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// searchFiles looks into every file that was written, and for what was left in TMPDIR.
func (s secretRun) searchFiles(t *testing.T) {
	err := filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		if strings.HasPrefix(entry.Name(), "core") {
			t.Errorf("%s was dumped", path)
		}
		if entry.Name() == "alembic.ini" {
			return nil // some of these tests put a URL in there
		}
		if strings.HasPrefix(path, filepath.Join(s.dir, "tmp")) {
			t.Errorf("%s was left", path)
		}
		text, err := os.ReadFile(path)
		if form := leak(text); form != "" {
			t.Errorf("%s holds %s", path, form)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSecretsOfChildren sees what the one child of reflex, the interpreter that
// is asked about itself, is started with.
func TestSecretsOfChildren(t *testing.T) {
	env := venv.Get(t, venv.Newest(t), requirements...)
	dir := t.TempDir()
	python := filepath.Join(dir, "python")
	script := "#!/bin/sh\nprintf '%s\\n' \"$@\" >>" + dir + "/argv\nexec " + env.Bin("python") + " \"$@\"\n"
	if err := os.WriteFile(python, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(reflexDir(t), "reflex"), "--python", python, "db", "list_templates")
	cmd.Dir = dir
	cmd.Env = venv.CleanEnv("XDG_CACHE_HOME="+dir, "REFLEX_DB_URL=postgresql://u:"+plainSecret+"@127.0.0.1/x")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	argv, err := os.ReadFile(filepath.Join(dir, "argv"))
	if err != nil || len(argv) == 0 {
		t.Fatalf("the interpreter was not asked: %v", err)
	}
	if form := leak(argv); form != "" {
		t.Errorf("%s in the arguments of a child: %s", form, argv)
	}
}

// TestTemporaryFiles runs a project without alembic.ini, for which one is made:
// nobody else may read it, and it is gone at the end, however that comes.
func TestTemporaryFiles(t *testing.T) {
	env := venv.Get(t, venv.Newest(t), requirements...)
	const show = `
import os, sys
from alembic import context
ini = context.config.config_file_name
print(f"{os.stat(ini).st_mode:o} {os.stat(os.path.dirname(ini)).st_mode:o}", file=sys.stderr, flush=True)
`
	for _, end := range []struct {
		name, env string
		signal    syscall.Signal
		status    int
	}{
		{"done", "", 0, 0},
		{"failed", "raise ValueError", 0, 1},
		{"interrupted", "import time; time.sleep(60)", syscall.SIGINT, 130},
		{"terminated", "import time; time.sleep(60)", syscall.SIGTERM, 143},
	} {
		t.Run(end.name, func(t *testing.T) {
			t.Parallel()
			project, tmp := t.TempDir(), t.TempDir()
			if err := os.MkdirAll(filepath.Join(project, "alembic", "versions"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(project, "alembic", "env.py"), []byte(show+end.env), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(filepath.Join(reflexDir(t), "reflex"), "db", "upgrade", "head")
			cmd.Dir = project
			cmd.Env = venv.CleanEnv("VIRTUAL_ENV="+env.Dir, "TMPDIR="+tmp, "XDG_CACHE_HOME="+t.TempDir(), "REFLEX_DB_URL=sqlite://")
			stderr := &output{}
			cmd.Stderr = stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			if end.signal != 0 {
				select {
				case <-stderr.match(`(?m)^\d+ \d+$`):
					_ = cmd.Process.Signal(end.signal)
				case <-ended:
					t.Fatalf("it ended too soon: %s", stderr)
				}
			}
			<-ended
			if got := cmd.ProcessState.ExitCode(); got != end.status {
				t.Errorf("exit status %d, want %d: %s", got, end.status, stderr)
			}
			if !slices.Contains(strings.Split(stderr.String(), "\n"), "100600 40700") {
				t.Errorf("the modes of the file and its directory are not 0600 and 0700: %s", stderr)
			}
			if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
				t.Errorf("left in TMPDIR: %v %v", left, err)
			}
		})
	}
}
