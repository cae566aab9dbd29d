package tests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// Signals, forks and crashes are those of any Python program: each case runs
// under the bare alembic too.

// both runs `upgrade head` under alembic and under reflex db, each on a new
// database, and wants the same status and stdout.
func both(t *testing.T, p *project) (alembic, reflex *process) {
	t.Helper()
	a := p.again(t)
	alembic = a.alembic(t, "upgrade", "head")
	want := alembic.status(t)
	reflex = p.start(t, "upgrade", "head")
	if got := reflex.status(t); got != want {
		t.Errorf("status %d, and %d under alembic\n%s%s", got, want, reflex.stdout.String(), reflex.stderr.String())
	}
	if got, want := reflex.stdout.String(), alembic.stdout.String(); got != want {
		t.Errorf("stdout\n%s\nand under alembic\n%s", got, want)
	}
	if text := reflex.stderr.String(); strings.Contains(text, "goroutine ") {
		t.Errorf("Go shows:\n%s", text)
	}
	eachToo(t, p, alembic)
	return alembic, reflex
}

// eachToo runs `upgrade head` under --each, on one more database, and wants it to
// succeed if alembic does, and to print the same.
func eachToo(t *testing.T, p *project, alembic *process) {
	t.Helper()
	list := p.list(t, "one "+p.again(t).url)
	run := p.start(t, "upgrade", "head", "-v", "--each", list)
	if got, want := run.status(t) == 0, alembic.status(t) == 0; got != want {
		t.Errorf("under --each it succeeds: %v, and under alembic: %v\n%s", got, want, run.stderr.String())
	}
	for line := range strings.Lines(alembic.stdout.String()) {
		if !strings.Contains(run.stderr.String(), "one: "+strings.TrimRight(line, " \n")) {
			t.Errorf("under --each it does not print %q:\n%s", line, run.stderr.String())
		}
	}
}

// Wherever in a driver and in an event loop the signal comes, it ends the run:
// asyncpg crashed where an exception was raised in its midst.
func TestInterruptedAtRandomMoments(t *testing.T) {
	ends := venv.OldestAndNewest(t)
	for _, python := range venv.Interpreters(t) {
		for _, driver := range drivers {
			usual := 1
			if strings.HasSuffix(driver, "asyncpg") { // whose C code is of each interpreter
				usual = 4
			} else if !slices.Contains(ends, python) {
				continue
			}
			t.Run(python.Version+"/"+driver, func(t *testing.T) {
				t.Parallel()
				p := newProject(t, driver)
				p.python = venv.Get(t, python, requirements...)
				p.revise(t, "pass")
				p.succeed(t, "upgrade", "head")
				p.revise(t, say+`while True: op.execute("SELECT 1")`)
				for range rounds(t, usual) {
					run := p.start(t, "upgrade", "head")
					run.until(t, "now")
					time.Sleep(rand.N(5 * time.Millisecond)) // the moment is what is tried
					wantInterrupted(t, run, syscall.SIGINT)
					wantNobody(t, p) // no statement goes on in the server
				}
			})
		}
	}
}

// A module of the project, because what a child calls has to be importable.
const childWork = `import os, signal, sys, time

def double(n):
    return 2 * n

def handlers(_):
    return [str(signal.getsignal(s)) for s in (signal.SIGTERM, signal.SIGHUP)]
`

// Children that a migration starts, however it does, end and are ended as those
// of any Python program.
func TestForks(t *testing.T) {
	body := `import multiprocessing, signal, concurrent.futures as futures
import childwork
fork = multiprocessing.get_context("fork")
with fork.Pool(2) as pool:  # whose end is a SIGTERM to each
    print(pool.map(childwork.double, range(5)), pool.map(childwork.handlers, [0]))
for method in ("fork", "forkserver", "spawn"):
    context = multiprocessing.get_context(method)
    with futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        print(method, list(executor.map(childwork.double, range(3))))
child = os.fork()
if not child:
    try:
        time.sleep(600)
    finally:
        print("unwound", flush=True)  # which a SIGTERM must not do
        os._exit(3)
os.kill(child, signal.SIGTERM)
print("status", os.waitpid(child, 0)[1])
child = os.fork()
if not child:
    time.sleep(600)
os.kill(child, signal.SIGKILL)
print("status", os.waitpid(child, 0)[1])
print(op.get_bind().exec_driver_sql("SELECT 7").scalar())`
	for _, python := range venv.Interpreters(t) {
		t.Run(python.Version, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, "postgresql+psycopg")
			p.python = venv.Get(t, python, requirements...)
			p.revise(t, body)
			if err := os.WriteFile(filepath.Join(p.dir, "childwork.py"), []byte(childWork), 0o644); err != nil {
				t.Fatal(err)
			}
			both(t, p)
			p.wantRan(t, 1)
		})
	}
}

// Python 3.12 warns of a fork beside threads, and Go's are not the program's.
func TestForkWarning(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	p.env = []string{"PYTHONWARNINGS=default::DeprecationWarning"}
	p.revise(t, `child = os.fork()
if not child:
    os._exit(5)
print("status", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))`)
	if _, reflex := both(t, p); strings.Contains(reflex.stderr.String(), "multi-threaded") {
		t.Errorf("stderr has a warning:\n%s", reflex.stderr.String())
	}
	p.wantRan(t, 1)
}

// Signals that a project handles are its own, and those that nobody handles do
// what they do.
func TestSignalsOfTheProject(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"handlers": `import signal
seen = []
for s in (signal.SIGALRM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGCHLD):
    if s != signal.SIGHUP: print(signal.getsignal(s))
    signal.signal(s, lambda number, frame: seen.append(number))
    for _ in range(3):
        os.kill(os.getpid(), s)
        op.execute("SELECT 1")
print(len(seen), len(set(seen)))`,
		"timer": `import signal
seen = []
signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
while len(seen) < 5:
    op.execute("SELECT 1")
signal.setitimer(signal.ITIMER_REAL, 0)
print("went on")`,
		"all": `import signal
print([s.name for s in signal.valid_signals() if isinstance(s, signal.Signals) and s not in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
       and signal.getsignal(s) not in (signal.SIG_DFL,)], signal.set_wakeup_fd(-1), sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))`,
		"its own handler of SIGTERM": `import signal
signal.signal(signal.SIGTERM, lambda *_: print("not now"))
os.kill(os.getpid(), signal.SIGTERM)
os.kill(os.getpid(), signal.SIGTERM)
op.execute("SELECT 1")`,
		"not handled": `import signal
os.kill(os.getpid(), signal.SIGUSR1)`,
		"an alarm":   "import signal\nsignal.alarm(1)\ntime.sleep(60)",
		"ignored":    "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.kill(os.getpid(), signal.SIGTERM)\nop.execute('SELECT 1')",
		"a thread's": "import signal, threading\nthreading.Timer(0.05, signal.raise_signal, [signal.SIGUSR1]).start()\nsignal.signal(signal.SIGUSR1, lambda *_: print('heard'))\ntime.sleep(0.5)",
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t, "postgresql+psycopg")
			p.revise(t, body)
			both(t, p)
		})
	}
}

// A terminal that goes away, as a dropped ssh, ends the run and its statement.
func TestHangUp(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers[2:] {
		t.Run(driver, func(t *testing.T) {
			p := newProject(t, driver)
			p.revise(t, say+`op.execute("SELECT pg_sleep(600)")`)
			run := p.start(t, "upgrade", "head")
			run.until(t, "now")
			run.signal(t, syscall.SIGHUP)
			run.wantError(t, 128+int(syscall.SIGHUP), "hung up; the open transaction was rolled back")
			wantNobody(t, p)
		})
	}
	t.Run("nohup", func(t *testing.T) {
		p := newProject(t, "postgresql+psycopg")
		file := filepath.Join(t.TempDir(), "go on")
		p.revise(t, say+fmt.Sprintf("while not os.path.exists(%q): time.sleep(0.02)", file))
		cmd := p.command(t, "upgrade", "head")
		cmd.Args = append([]string{"sh", "-c", `trap "" HUP; exec "$0" "$@"`}, cmd.Args...)
		cmd.Args[3] = cmd.Path
		cmd.Path = "/bin/sh"
		run := startProcess(t, cmd)
		run.until(t, "now")
		run.signal(t, syscall.SIGHUP)
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		run.wantStatus(t, 0)
	})
}

// An interrupt that the project handles is over: the migration goes on.
func TestInterruptThatTheProjectHandles(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			p := newProject(t, driver)
			p.revise(t, `try:
    sys.stderr.write("now\n"); sys.stderr.flush()
    time.sleep(600)
except KeyboardInterrupt:
    sys.stderr.write("handled\n"); sys.stderr.flush()
for i in range(200):
    op.execute("SELECT 1")
    time.sleep(0.005)  # for longer than a statement would be cancelled
if "sqlite" in os.environ["REFLEX_DB_URL"]:
    op.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000000) SELECT sum(i) FROM n")
if os.environ.get("AGAIN"):
    sys.stderr.write("again\n"); sys.stderr.flush()
    time.sleep(600)`)
			for _, again := range []bool{true, false} {
				p.env = nil
				if again {
					p.env = []string{"AGAIN=1"}
				}
				run := p.start(t, "upgrade", "head")
				run.until(t, "now")
				run.signal(t, syscall.SIGINT)
				run.until(t, "handled")
				if again {
					run.until(t, "again")
					run.signal(t, syscall.SIGINT)
					run.wantStatus(t, 130)
					continue
				}
				run.wantStatus(t, 0)
				p.wantRan(t, 1)
			}
		})
	}
}

// A signal that another thread received does not wake the main one. The same happens at a
// prompt: readline prints it before it waits.
func TestInterruptThatDoesNotWake(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	p.revise(t, `import signal, threading
threading.Timer(0.2, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGINT)).start()
time.sleep(600)`)
	p.start(t, "upgrade", "head").wantStatus(t, 130)
}

// Ctrl-C at the debugger's prompt is the debugger's.
func TestInterruptAtTheDebugger(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"sqlite", "postgresql+psycopg", "postgresql+asyncpg"} {
		t.Run(driver, func(t *testing.T) {
			p := newProject(t, driver)
			p.revise(t, "breakpoint()\nop.execute('SELECT 1')")
			run, terminal := onTerminal(t, p.command(t, "upgrade", "head"), 80)
			run.until(t, `\(Pdb\) `)
			for i, typed := range []string{"\x03", "c\n"} {
				if _, err := terminal.WriteString(typed); err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					run.until(t, `(?s)\(Pdb\) .*KeyboardInterrupt.*\(Pdb\) `)
				}
			}
			run.wantStatus(t, 0)
			p.wantRan(t, 1)
		})
	}
}

// onTerminal starts a command on a terminal of its own, of so many columns. What
// it prints is in the process's stderr, all of it once that has ended.
func onTerminal(t *testing.T, cmd *exec.Cmd, columns uint16) (*process, *os.File) {
	t.Helper()
	cmd.Env = append(cmd.Env, "TERM=xterm") // not that of who runs the tests, which may be dumb
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: columns})
	if err != nil {
		t.Skipf("no pseudo terminal here: %v", err)
	}
	run := &process{cmd: cmd, ended: make(chan struct{})}
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := terminal.Read(buffer)
			_, _ = run.stderr.Write(buffer[:n])
			if err != nil { // EIO at the end of the last process that has it open
				break
			}
		}
		run.err = cmd.Wait()
		close(run.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		terminal.Close() // a child that outlives it may have it open
		<-run.ended
	})
	return run, terminal
}

// A crash ends the process as it does under Python, and says as much.
func TestCrashes(t *testing.T) {
	t.Parallel()
	for name, crash := range map[string]struct {
		body  string
		shows string // of faulthandler
	}{
		"segmentation fault":   {"import ctypes\nctypes.string_at(0)", "Segmentation fault"},
		"in a thread":          {"import ctypes, threading\nthreading.Thread(target=ctypes.string_at, args=[0]).start()\ntime.sleep(60)", "Segmentation fault"},
		"abort":                {"os.abort()", "Aborted"},
		"quit":                 {"os.kill(os.getpid(), 3)\ntime.sleep(60)", ""},
		"too deep a recursion": {"def f(): return f()\nf()", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t, "sqlite")
			p.revise(t, crash.body)
			for _, faulthandler := range []string{"", "1"} {
				if faulthandler != "" && crash.shows == "" {
					continue
				}
				p.env = []string{"PYTHONFAULTHANDLER=" + faulthandler}
				_, reflex := both(t, p)
				if shows := regexp.MustCompile("(?i)" + crash.shows); faulthandler != "" && !shows.MatchString(reflex.stderr.String()) {
					t.Errorf("stderr does not match %s:\n%s", shows, reflex.stderr.String())
				}
			}
		})
	}
}
