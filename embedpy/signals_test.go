package embedpy

import (
	"bufio"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What the main thread may be doing when a signal comes. The message says that
// it did not hear of it.
const waits = `
import _reflex, os, select, socket, sys, time

def ready():
    print("ready", flush=True)

def sleep(arg):
    ready()
    time.sleep(60)
    return "slept"

def poll(arg):
    r, w = os.pipe()
    ready()
    select.select([r], [], [], 60)
    return "selected"

def read(arg):
    r, w = os.pipe()
    ready()
    os.read(r, 1)

def receive(arg):
    a, b = socket.socketpair()
    ready()
    a.recv(1)

def loop(arg):
    ready()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pass
    return "looped"

def go(arg):
    ready()
    _reflex.wait(b"")
    return "waited"

def in_asyncio(arg):
    import asyncio
    async def main():
        ready()
        await asyncio.sleep(60)
    asyncio.run(main())

def heard(arg):
    return _reflex.signal(b"")
`

var waiting = []string{"sleep", "poll", "read", "receive", "loop", "go", "in_asyncio"}

// SIGINT is a KeyboardInterrupt and SIGTERM is exit status 143, whatever Python
// is doing, and whichever thread the kernel picks.
func TestSignals(t *testing.T) {
	onEach(t, func(t *testing.T, python *Python) {
		for _, call := range waiting {
			for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
				for _, toMain := range []bool{true, false} {
					if !toMain && runtime.GOOS != "linux" {
						continue
					}
					calls := []string{call, "heard"}
					if call == "go" { // which has heard of it itself
						calls = []string{call}
					}
					c := prepare(t, script{Python: python, Source: waits, Calls: calls})
					awaitReady(t, c, call != "loop")
					if toMain {
						c.cmd.Process.Signal(sig)
					} else {
						signalOtherThread(t, c.cmd.Process.Pid, sig)
					}
					outcomes := c.wait()
					got := outcomes[call]
					if sig == syscall.SIGINT && (got.Exception == nil || got.Exception.Type != "KeyboardInterrupt") {
						t.Errorf("SIGINT in %s: %q %s", call, got.Answer, got.Err)
					}
					if sig == syscall.SIGTERM && (got.Exception == nil || got.Exception.ExitCode != 143) {
						t.Errorf("SIGTERM in %s: %q %s", call, got.Answer, got.Err)
					}
					if got := outcomes["heard"]; call != "go" && string(got.Answer) != sig.String() {
						t.Errorf("%v in %s: Go heard %q %s", sig, call, got.Answer, got.Err)
					}
				}
			}
		}
	})
}

// A signal that nohup or a shell has turned off stays off.
func TestIgnoredSignals(t *testing.T) {
	const source = `
import _reflex, sys, time
def main(arg):
    print("ready", flush=True)
    sys.stdin.read()
    return "survived"
def interrupted(arg):
    _reflex.cancel(b"")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pass
    return "looped"
`
	onEach(t, func(t *testing.T, python *Python) {
		c := prepare(t, script{Python: python, Source: source, Calls: []string{"main", "interrupted"}})
		c.cmd.Args = []string{"sh", "-c", `trap "" INT TERM; exec "$0"`, c.cmd.Path}
		c.cmd.Path = "/bin/sh"
		stdin, err := c.cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		awaitReady(t, c, true)
		c.cmd.Process.Signal(syscall.SIGINT)
		c.cmd.Process.Signal(syscall.SIGTERM)
		stdin.Close()
		outcomes := c.wait()
		if got := outcomes["main"]; string(got.Answer) != "survived" {
			t.Errorf("%q %s", got.Answer, got.Err)
		}
		if got := outcomes["interrupted"]; !got.Cancelled {
			t.Errorf("a context that ends still interrupts: %q %s", got.Answer, got.Err)
		}
	})
}

// The end of the context ends what Python waits for, once, and is no signal.
func TestCancel(t *testing.T) {
	const source = `
import _reflex, os, signal, time

def sleep(arg):
    _reflex.cancel(b"")
    time.sleep(60)
    return "slept"

def with_cleanup(arg):
    try:
        sleep(arg)
    finally:
        _reflex.echo(b"")
        time.sleep(0.01)
        print("cleaned up")

def too_late(arg):
    _reflex.cancel(b"")

def undisturbed(arg):
    return str(sum(range(100_000)))

def terminated(arg):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

def heard(arg):
    return _reflex.signal(b"")
`
	onEach(t, func(t *testing.T, python *Python) {
		outcomes, c := run(t, script{Python: python, Source: source, Calls: []string{
			"sleep", "with_cleanup", "too_late", "undisturbed", "terminated", "heard",
		}})
		for _, call := range []string{"sleep", "with_cleanup"} {
			got := outcomes[call]
			if got.Exception == nil || got.Exception.Type != "KeyboardInterrupt" || !got.Cancelled {
				t.Errorf("%s: %q %s", call, got.Answer, got.Err)
			}
		}
		if got := outcomes["undisturbed"]; string(got.Answer) != "4999950000" {
			t.Errorf("the next call: %q %s", got.Answer, got.Err)
		}
		if got := outcomes["heard"]; string(got.Answer) != "terminated" {
			t.Errorf("the first signal that Go heard of: %q %s", got.Answer, got.Err)
		}
		if c.stdout.String() != "cleaned up\n" {
			t.Errorf("stdout: %q", &c.stdout)
		}
	})
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
	if _, err := os.Stat(stat); err != nil || !sleeps {
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

// signalOtherThread sends a signal to a thread that is not the main one.
func signalOtherThread(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	threads, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "task"))
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		if tid, err := strconv.Atoi(thread.Name()); err == nil && tid != pid {
			if err := unix.Tgkill(pid, tid, sig); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("the child has one thread only")
}
