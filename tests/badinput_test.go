package tests

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// A badInput is one broken thing: what is laid over a good project, a command
// that meets it, and what its user must see.
type badInput struct {
	name    string
	files   map[string]string // over those of the project
	env     []string          // NAME=VALUE, over a plain environment
	run     string            // lines of sh; empty is "reflex db upgrade head"
	status  int
	message string // a regexp for stderr
	notRoot bool   // root is not hindered by it
}

// answerLimit is how long any bad input may take to be told, on a machine that is busy.
const answerLimit = 30 * time.Second

// crashes is what nobody must ever see: a crash of Go, of C or of Python, or
// the inside of this project.
var crashes = regexp.MustCompile(`panic:|goroutine |SIG[A-Z]+:|Segmentation fault|Aborted|core dumped|` +
	`Fatal Python error|reflex_driver/|<embedpy>|embedpy: `)

// TestBadInput meets every broken thing of badInputs.
//
// The commands may use, beside the project: $VENV, its environment; $OLD, one
// with an old Alembic; $FAKE, tools of testdata/badinput; $HTTP, the port of
// a server that is no database.
func TestBadInput(t *testing.T) {
	python := venv.Newest(t)
	env := venv.Get(t, python, requirements...)
	home := t.TempDir() // shared: with its cache, a run does not ask the interpreter again
	testdata, err := filepath.Abs("testdata/badinput")
	if err != nil {
		t.Fatal(err)
	}
	environment := venv.CleanEnv(
		"PATH="+reflexDir(t)+string(os.PathListSeparator)+os.Getenv("PATH"),
		"HOME="+home, "XDG_CACHE_HOME="+filepath.Join(home, "cache"), "LANG=C.UTF-8",
		"VIRTUAL_ENV="+env.Dir, "VENV="+env.Dir,
		"OLD="+venv.Get(t, python, "alembic==1.12.1", "sqlalchemy<2.1").Dir,
		"FAKE="+testdata,
		"HTTP="+httpPort(t),
		"REFLEX_DB_URL=sqlite:///app.db",
	)
	good := goodProject(t, environment)
	for _, bad := range badInputs() {
		t.Run(bad.name, func(t *testing.T) {
			t.Parallel()
			if bad.notRoot && os.Geteuid() == 0 {
				t.Skip("root may read and write everything")
			}
			if _, err := os.Stat("/dev/full"); err != nil && strings.Contains(bad.run, "/dev/full") {
				t.Skip("there is no /dev/full")
			}
			if other, ok := otherAnswers[form][bad.name]; ok {
				if other.skip != "" {
					t.Skip(other.skip)
				}
				bad.status, bad.message = other.status, other.message
			}
			if slices.Contains(bad.env, "PYTHON_GIL=0") && python.Version < "3.13" {
				t.Skip("older Pythons do not know it")
			}
			project := t.TempDir()
			if err := os.CopyFS(project, os.DirFS(good)); err != nil {
				t.Fatal(err)
			}
			bad.check(t, project, environment)
		})
	}
}

// goodProject is what `reflex db init` writes, and two revisions.
func goodProject(t *testing.T, environment []string) string {
	project := t.TempDir()
	for _, args := range []string{"init", "revision -m first --rev-id 0001", "revision -m second --rev-id 0002"} {
		cmd := exec.Command("sh", "-c", "reflex db "+args)
		cmd.Dir, cmd.Env = project, environment
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args, err, out)
		}
	}
	return project
}

func (bad badInput) check(t *testing.T, project string, environment []string) {
	for name, content := range bad.files {
		file := filepath.Join(project, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := bad.run
	if run == "" {
		run = "reflex db upgrade head"
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", run)
	cmd.Dir = project
	cmd.Env = slices.Concat(environment, bad.env, []string{"PROJECT=" + project, "TMPDIR=" + t.TempDir()})
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()

	var exit *exec.ExitError
	if err != nil && ctx.Err() == nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	// A Python that can't start says so itself: nothing of ours runs there yet.
	if form != embedded && strings.Contains(stderr.String(), "Fatal Python error") && exit != nil {
		return
	}
	if ctx.Err() != nil {
		t.Errorf("no answer within %v", answerLimit)
	} else if got := cmd.ProcessState.ExitCode(); got != bad.status {
		t.Errorf("exit status %d, want %d", got, bad.status)
	}
	if !regexp.MustCompile("(?ms)" + bad.message).Match(stderr.Bytes()) {
		t.Errorf("stderr does not match %q", bad.message)
	}
	if crash := crashes.FindString(stdout.String() + stderr.String()); crash != "" {
		t.Errorf("%q is shown", crash)
	}
	if strings.Contains(stdout.String(), "Error") {
		t.Error("there is an error on stdout")
	}
	if t.Failed() {
		t.Logf("%s\nstdout: %.2000q\nstderr: %.4000s", run, stdout.Bytes(), stderr.Bytes())
	}
}

// httpPort is that of a server that answers whoever connects with HTTP.
func httpPort(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_ = conn.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}
