package wheel

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// The line of docs/upstream.md, and what of the framework's script it replaces.
const (
	theirs = `cli.add_command(db_cli, name="db")`
	line   = `cli.add_command(_LazyCommand("db", "reflex_orm.cli:db", help="Migrations of the database, by Alembic."))`
)

// adopted is a copy of the framework with that line, for PYTHONPATH.
func adopted(t *testing.T, env venv.Env) string {
	t.Helper()
	dir := t.TempDir()
	kept := strings.TrimSpace(read(t, filepath.Join(sitePackages(t, env), "kept.pth")))
	copyTree(t, filepath.Join(kept, "reflex"), filepath.Join(dir, "reflex"))
	script := filepath.Join(dir, "reflex", "reflex.py")
	before := read(t, script)
	if strings.Count(before, theirs) != 1 {
		t.Fatalf("Reflex does not add its command as docs/upstream.md says: %s", theirs)
	}
	write(t, script, strings.Replace(before, theirs, line, 1))
	if !strings.Contains(read(t, filepath.Join(venv.Root(), "docs", "upstream.md")), line) {
		t.Error("docs/upstream.md has another line")
	}
	return dir
}

// result is all that a command leaves to see.
type result struct {
	stdout, stderr string
	status         int
}

func (c command) result(t *testing.T, name string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.dir, c.env, &stdout, &stderr
	return ended(t, cmd.Run(), &stdout, &stderr)
}

func ended(t *testing.T, err error, stdout, stderr *bytes.Buffer) result {
	t.Helper()
	status := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), status}
}

// With one line in the framework, `reflex db` is the command of our wheel: the same
// statuses, streams, completion and end by a signal as `reflex-db`.
func TestReflexAdoptsTheCommand(t *testing.T) {
	env := framework(t)
	project := t.TempDir()
	copyTree(t, filepath.Join(venv.Root(), "examples", "reflex", "before"), project)
	in := command{dir: project, env: append(venv.CleanEnv("REFLEX_TELEMETRY_ENABLED=false", "LANG=C.UTF-8"), "HOME="+t.TempDir())}
	run(t, in, env.Bin("reflex"), "db", "init") // the framework's own, once
	copyTree(t, filepath.Join(venv.Root(), "examples", "reflex", "after"), project)
	in.env = append(in.env, "REFLEX_DB_URL=sqlite:///guestbook.db")
	patched := in
	patched.env = append(patched.env, "PYTHONPATH="+adopted(t, env))
	ours := func(args ...string) result { return in.result(t, env.Bin("reflex-db"), args...) }
	byReflex := func(args ...string) result {
		return patched.result(t, env.Bin("reflex"), append([]string{"db"}, args...)...)
	}

	for args, status := range map[string]int{
		"":                               0,
		"--help":                         0,
		"upgrade --help":                 0,
		"current":                        0,
		"history --indicate-current":     0,
		"-q heads":                       0,
		"-x a=b -n alembic upgrade head": 0,
		"upgrade head --sql":             0,
		"-C guestbook heads":             1,
		"check":                          0,
		"status":                         0,
		"version":                        0,
		"upgrade nosuch":                 1,
		"upgrad head":                    2,
		"-- current":                     0,
		"--python nosuch current":        3,
	} {
		words := strings.Fields(args)
		want, got := ours(words...), byReflex(words...)
		want.stdout = strings.ReplaceAll(want.stdout, "reflex-db", "reflex db")
		want.stderr = strings.ReplaceAll(want.stderr, "reflex-db", "reflex db")
		// Which is click's there.
		want.stdout = strings.Replace(want.stdout, "  completion      print the script that completes in bash, zsh or fish\n", "", 1)
		if strings.Contains(args, "-h") { // argparse breaks the lines elsewhere
			for _, text := range []*string{&want.stdout, &got.stdout} {
				*text = strings.Join(strings.Fields(*text), " ")
			}
		}
		if got != want || got.status != status {
			t.Errorf("reflex db %s: status %d, want %d\n%s%s\nreflex-db: status %d\n%s%s",
				args, got.status, status, got.stdout, got.stderr, want.status, want.stdout, want.stderr)
		}
	}

	t.Run("reflex starts as before", func(t *testing.T) {
		if out := run(t, patched, env.Bin("python"), "-c", "import reflex.reflex, sys; print('sqlalchemy' in sys.modules)"); out != "False\n" {
			t.Errorf("its script imports SQLAlchemy: %s", out)
		}
	})
	t.Run("python -m reflex_orm db", func(t *testing.T) {
		want := ours("current")
		if got := in.result(t, env.Bin("python"), "-m", "reflex_orm", "db", "current"); got != want {
			t.Errorf("%+v, not %+v", got, want)
		}
	})
	t.Run("the framework's own four", func(t *testing.T) {
		models := filepath.Join(project, "guestbook", "models.py")
		write(t, models, read(t, models)+"    likes: Mapped[int] = mapped_column(default=0, server_default=\"0\")\n")
		if made := byReflex("makemigrations", "--message", "likes"); made.status != 0 {
			t.Errorf("makemigrations: %+v", made)
		}
		only(t, filepath.Join(project, "alembic", "versions", "*_likes.py"))
		if state := byReflex("status"); !strings.Contains(state.stdout, "likes") {
			t.Errorf("status does not see it: %+v", state)
		}
		if done := byReflex("migrate"); done.status != 0 {
			t.Errorf("migrate: %+v", done)
		}
		if current := byReflex("current"); !strings.Contains(current.stdout, "(head)") {
			t.Errorf("after migrate: %+v", current)
		}
		empty := patched
		empty.dir = t.TempDir()
		if begun := empty.result(t, env.Bin("reflex"), "db", "init"); begun.status != 0 || !strings.Contains(begun.stdout, "reflex db upgrade head") {
			t.Errorf("init: %+v", begun)
		}
	})
	t.Run("completion", func(t *testing.T) {
		for words, want := range map[string]string{"reflex db upg": "upgrade\n", "reflex db upgrade ": "head\n", "reflex db upgrade --lock": "--lock-timeout\n"} {
			c := patched
			c.env = append(c.env, "_REFLEX_COMPLETE=zsh_complete", "COMP_WORDS="+words, "COMP_CWORD="+map[bool]string{true: "3", false: "2"}[strings.Count(words, " ") == 3])
			if got := c.result(t, env.Bin("reflex")); got.status != 0 || !strings.Contains(got.stdout, want) {
				t.Errorf("%q: %+v", words, got)
			}
		}
	})
	t.Run("Ctrl-C", func(t *testing.T) {
		head := strings.Fields(ours("heads").stdout)[0]
		write(t, filepath.Join(project, "alembic", "versions", "slow.py"), `
import time
revision, down_revision = "slow", "`+head+`"
def upgrade():
    open("begun", "w").close()
    time.sleep(60)
`)
		cmd := exec.Command(env.Bin("reflex"), "db", "upgrade", "head")
		var stdout, stderr bytes.Buffer
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = project, patched.env, &stdout, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(filepath.Join(project, "begun")); err == nil {
				break
			}
			if time.Now().After(deadline) {
				cmd.Process.Kill()
				cmd.Wait()
				t.Fatalf("the revision does not begin: %s", stderr.String())
			}
		}
		cmd.Process.Signal(syscall.SIGINT)
		got := ended(t, cmd.Wait(), &stdout, &stderr)
		if got.status != 130 || !strings.Contains(got.stderr, "Error: interrupted") || strings.Contains(got.stderr, "Aborted!") {
			t.Errorf("%+v", got)
		}
	})
}
