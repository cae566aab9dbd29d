package embedpy

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// What the main thread may be doing when a signal comes.
const waits = `
import os, select, signal, socket, sys, threading, time

def ready():
    print("ready", flush=True)

def cleaning(function):
    def call():
        try:
            function()
        finally:
            sys.stderr.write("cleaned up\n")
    return call

@cleaning
def sleep():
    ready()
    time.sleep(60)

@cleaning
def poll():
    r, w = os.pipe()
    ready()
    select.select([r], [], [], 60)

@cleaning
def read():
    r, w = os.pipe()
    ready()
    os.read(r, 1)

@cleaning
def receive():
    a, b = socket.socketpair()
    ready()
    a.recv(1)

@cleaning
def loop():
    ready()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pass

@cleaning
def beside_a_thread():
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    sleep()

@cleaning
def in_asyncio():
    import asyncio
    async def main():
        ready()
        await asyncio.sleep(60)
    asyncio.run(main())
`

// SIGINT is a KeyboardInterrupt in whatever Python is doing.
func TestInterrupt(t *testing.T) {
	onEach(t, func(t *testing.T, python *Python) {
		for _, call := range []string{"sleep", "poll", "read", "receive", "loop", "beside_a_thread", "in_asyncio"} {
			c := prepare(t, script{Python: python, Source: waits, Calls: []string{call}})
			awaitReady(t, c, call != "loop")
			c.cmd.Process.Signal(syscall.SIGINT)
			outcomes := c.wait()
			if got := outcomes[call]; got.Status != 130 || got.Err != "" {
				t.Errorf("%s: %d %s", call, got.Status, got.Err)
			}
			if shown := c.stderr.String(); !strings.Contains(shown, "cleaned up\n") || !strings.HasSuffix(shown, "KeyboardInterrupt\n") {
				t.Errorf("%s: %s", call, shown)
			}
		}
	})
	t.Run("become", func(t *testing.T) {
		c := prepare(t, script{Python: static(t), Source: waits, Calls: []string{"sleep"}, Become: true})
		awaitReady(t, c, true)
		c.cmd.Process.Signal(syscall.SIGINT)
		if status := c.end().ExitStatus(); status != 130 || !strings.Contains(c.stderr.String(), "cleaned up\n") {
			t.Errorf("%d %s", status, &c.stderr)
		}
	})
}

// What ends a Python program ends this one: neither Go nor Python is in the way.
func TestDefaultSignals(t *testing.T) {
	signals := []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGVTALRM, syscall.SIGQUIT, syscall.SIGSEGV, syscall.SIGABRT}
	check := func(t *testing.T, s script) {
		for _, sig := range signals {
			c := prepare(t, s)
			c.cmd.Env = slices.DeleteFunc(c.cmd.Env, func(kv string) bool { return strings.HasPrefix(kv, "GOTRACEBACK=") })
			withMask(s.Python, c.cmd)
			awaitReady(t, c, true)
			c.cmd.Process.Signal(sig)
			if status := c.end(); !status.Signaled() || status.Signal() != sig {
				t.Errorf("%v: %v %s", sig, c.cmd.ProcessState, &c.stderr)
			}
			if c.stderr.Len() > 0 {
				t.Errorf("%v: %s", sig, &c.stderr)
			}
		}
	}
	onEach(t, func(t *testing.T, python *Python) {
		check(t, script{Python: python, Source: waits, Calls: []string{"sleep"}})
	})
	t.Run("become", func(t *testing.T) {
		check(t, script{Python: static(t), Source: waits, Calls: []string{"sleep"}, Become: true})
	})
}

// Handlers and masks are those that the interpreter itself would have, from a parent that
// ignores or blocks some. Children and threads have the same, and handlers that the program
// sets are called.
func TestSignalsAsAtStart(t *testing.T) {
	const source = `
import os, signal, subprocess, sys, threading, time

LOOK = "import signal\nfor s in sorted(signal.valid_signals()): print(s, signal.getsignal(s))\nprint(signal.pthread_sigmask(0, ()))"

def main():
    exec(LOOK, {})
    thread = threading.Thread(target=lambda: print("thread", signal.pthread_sigmask(0, ())))
    thread.start()
    thread.join()
    sys.stdout.flush()
    subprocess.run([sys.executable, "-c", LOOK], check=True)
    heard = []
    for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGALRM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, lambda number, frame: heard.append(number.name if hasattr(number, "name") else number))
        os.kill(os.getpid(), number)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    while len(heard) < 7:
        time.sleep(0.01)
    print(heard)
`
	wrap := func(python *Python, cmd *exec.Cmd, how string) {
		switch how {
		case "ignored":
			withMask(python, cmd)
			cmd.Args = append([]string{"sh", "-c", `trap "" HUP INT TERM USR1 PIPE QUIT; exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
			cmd.Path = "/bin/sh"
		case "blocked":
			withMask(python, cmd, syscall.SIGUSR1, syscall.SIGWINCH, syscall.SIGSEGV, 40)
		default:
			withMask(python, cmd)
		}
	}
	check := func(t *testing.T, s script) {
		for _, how := range []string{"", "ignored", "blocked"} {
			plain := exec.CommandContext(t.Context(), s.Python.Executable, "-c", source+"main()")
			plain.Env = venv.CleanEnv()
			wrap(s.Python, plain, how)
			limit := time.AfterFunc(30*time.Second, func() { plain.Process.Kill() })
			want, err := plain.Output()
			limit.Stop()
			if err != nil {
				t.Fatal(err)
			}
			c := prepare(t, s)
			c.cmd.Env = slices.DeleteFunc(c.cmd.Env, func(kv string) bool { return strings.HasPrefix(kv, "GOTRACEBACK=") })
			wrap(s.Python, c.cmd, how)
			c.start()
			if err := c.cmd.Wait(); err != nil || c.stdout.String() != string(want) {
				t.Errorf("%s: %v\n%s\n%s", how, err, difference(c.stdout.String(), string(want)), &c.stderr)
			}
		}
	}
	onEach(t, func(t *testing.T, python *Python) {
		check(t, script{Python: python, Source: source, Calls: []string{"main"}})
	})
	t.Run("become", func(t *testing.T) {
		check(t, script{Python: static(t), Source: source, Calls: []string{"main"}, Become: true})
	})
}

// withMask has a command start with these signals blocked, and no other. This binary's
// threads have others blocked, which their children inherit: see capi.c.
func withMask(python *Python, cmd *exec.Cmd, blocked ...syscall.Signal) {
	const set = "import os, signal, sys\n" +
		"signal.pthread_sigmask(signal.SIG_SETMASK, map(int, sys.argv[1].split()))\n" +
		"signal.signal(signal.SIGPIPE, signal.SIG_DFL); signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n" +
		"os.execv(sys.argv[2], sys.argv[2:])\n"
	var numbers []string
	for _, sig := range blocked {
		numbers = append(numbers, strconv.Itoa(int(sig)))
	}
	cmd.Args = append([]string{"python3", "-I", "-c", set, strings.Join(numbers, " "), cmd.Path}, cmd.Args[1:]...)
	cmd.Path = python.Executable
}

// awaitReady starts a child and returns when it has printed "ready", and, where
// /proc tells, when its main thread sleeps.
func awaitReady(t *testing.T, c *child, sleeps bool) {
	t.Helper()
	c.cmd.Stdout = nil
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.start()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the child printed %q: %v\n%s", line, err, &c.stderr)
	}
	pid := strconv.Itoa(c.cmd.Process.Pid)
	stat := filepath.Join("/proc", pid, "task", pid, "stat")
	if !sleeps || runtime.GOOS != "linux" {
		return
	}
	for t.Context().Err() == nil {
		content, err := os.ReadFile(stat)
		_, state, _ := strings.Cut(string(content), ") ")
		if err != nil || strings.HasPrefix(state, "S") {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
