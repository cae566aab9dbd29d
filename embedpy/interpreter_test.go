package embedpy

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// The calls follow one another in one process: none may break the next.
func TestCall(t *testing.T) {
	const source = `
import _reflex, sys

def as_bytes(arg): return arg + b"\0\xff"
def as_str(arg): return "\u00e9"
def as_none(arg): pass
def as_int(arg): return 7
def as_surrogate(arg): return "\udc80"

class Odd(Exception):
    def __str__(self): raise ValueError

def raises(arg): {}["here"]
def raises_own(arg): raise Odd
def raises_weird(arg): raise ValueError("a\0b\udc80\u20ac")
def recursion(arg): return recursion(arg)
def memory(arg): raise MemoryError
def exit_none(arg): sys.exit()
def exit_number(arg): sys.exit(3)
def exit_minus(arg): sys.exit(-1)
def exit_text(arg): sys.exit("no")
def interrupt(arg): raise KeyboardInterrupt

def echo(arg): return _reflex.echo(b"\0" + arg) + _reflex.echo("\u00e9") + _reflex.echo(b"")
def echo_int(arg): _reflex.echo(1)
def echo_surrogate(arg): _reflex.echo("\udc80")
def go_error(arg): _reflex.fail(b"")
def go_error_cause(arg):
    try:
        _reflex.fail(b"")
    except RuntimeError as e:
        raise ValueError("wrapped") from e
def go_error_caught(arg):
    try:
        _reflex.fail(b"")
    except _reflex.GoError as e:
        return str(e)
def go_panic(arg): _reflex.panic(b"")
def nested(arg): return b"outer " + _reflex.nested(b"as_str")
def nested_error(arg): _reflex.nested(b"raises")

def in_threads(arg):
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(8) as pool:
        return b"".join(pool.map(_reflex.echo, [b"%d," % i for i in range(100)]))[-6:]
def in_asyncio(arg):
    import asyncio
    async def main():
        await asyncio.sleep(0)
        return _reflex.echo(b"async")
    return asyncio.run(main())
`
	calls := []struct {
		name, answer, kind, message string
		goError                     bool
	}{
		{name: "as_bytes", answer: "arg\x00\x00\xff"},
		{name: "as_str", answer: "é"},
		{name: "as_none"},
		{name: "as_int", kind: "TypeError", message: "m.as_int returned int, not bytes"},
		{name: "as_surrogate", kind: "UnicodeEncodeError", message: "'utf-8' codec can't encode character '\\udc80' in position 0: surrogates not allowed"},
		{name: "raises", kind: "KeyError", message: "'here'"},
		{name: "raises_own", kind: "m.Odd", message: "(its __str__ failed)"},
		{name: "raises_weird", kind: "ValueError", message: "a\x00b\\udc80€"},
		{name: "recursion", kind: "RecursionError"},
		{name: "memory", kind: "MemoryError"},
		{name: "exit_none", kind: "SystemExit"},
		{name: "exit_number", kind: "SystemExit", message: "3"},
		{name: "exit_minus", kind: "SystemExit", message: "-1"},
		{name: "exit_text", kind: "SystemExit", message: "no"},
		{name: "interrupt", kind: "KeyboardInterrupt"},
		{name: "no_such_function", kind: "AttributeError", message: "module 'm' has no attribute 'no_such_function'"},
		{name: "echo", answer: "\x00arg\x00é"},
		{name: "echo_int", kind: "TypeError", message: "a Go function takes bytes or str"},
		{name: "echo_surrogate", kind: "UnicodeEncodeError", message: "'utf-8' codec can't encode character '\\udc80' in position 0: surrogates not allowed"},
		{name: "go_error", kind: "_reflex.GoError", message: "a Go error \ufffd", goError: true},
		{name: "go_error_cause", kind: "ValueError", message: "wrapped", goError: true},
		{name: "go_error_caught", answer: "a Go error \ufffd"},
		{name: "go_panic", kind: "_reflex.GoError", message: "panic in a Go function: at the disco"},
		{name: "nested", answer: "outer é"},
		{name: "nested_error", kind: "_reflex.GoError", message: "KeyError: 'here'"},
		{name: "in_threads", answer: "98,99,"},
		{name: "in_asyncio", answer: "async"},
	}
	onEach(t, func(t *testing.T, python *Python) {
		s := script{Python: python, Source: source, Arg: []byte("arg\x00")}
		for _, call := range calls {
			s.Calls = append(s.Calls, call.name)
		}
		outcomes, _ := run(t, s)
		for _, want := range calls {
			got := outcomes[want.name]
			if string(got.Answer) != want.answer {
				t.Errorf("%s: answer %q, want %q", want.name, got.Answer, want.answer)
			}
			kind, message := "", ""
			if got.Exception != nil {
				kind, message = got.Exception.Type, got.Exception.Message
			}
			if kind != want.kind || message != want.message && want.name != "recursion" {
				t.Errorf("%s: %s %q (%s), want %s %q", want.name, kind, message, got.Err, want.kind, want.message)
			}
			if got.IsGoError != want.goError {
				t.Errorf("%s: errors.Is finds the Go error: %v, want %v", want.name, got.IsGoError, want.goError)
			}
		}
		for name, status := range map[string]int{"exit_none": 0, "exit_number": 3, "exit_minus": 255, "exit_text": 1} {
			if e := outcomes[name].Exception; e == nil || !e.Exit || e.ExitCode != status {
				t.Errorf("%s: %+v, want exit status %d", name, e, status)
			}
		}
		traceback := outcomes["raises"].Exception.Traceback
		if !strings.HasPrefix(traceback, "Traceback (most recent call last):\n  File \"<embedpy>/m.py\", line ") ||
			!strings.Contains(traceback, `{}["here"]`) || !strings.HasSuffix(traceback, "\nKeyError: 'here'\n") {
			t.Errorf("the traceback does not begin in m.py, with its source:\n%s", traceback)
		}
	})
}

// Modules in memory behave like those on disk.
func TestModules(t *testing.T) {
	const source = `
def main(arg):
    import importlib, inspect, pkgutil
    import package.inner
    assert package.inner.up == "package", package.inner.up
    assert "inspected" in inspect.getsource(package.inner.f)
    assert pkgutil.get_data("package", "data.txt") == b"data", "get_data"
    assert package.__file__ == "<embedpy>/package/__init__.py", package.__file__
    importlib.reload(package.inner)

def broken(arg):
    import package.broken

def missing(arg):
    import package.missing
`
	outcomes, _ := run(t, script{Python: newest(t), Source: source, Calls: []string{"main", "broken", "missing"}, Files: map[string]string{
		"package/__init__.py": "name = __name__\n",
		"package/inner.py":    "from . import name as up\ndef f():\n    return 'inspected'\n",
		"package/broken.py":   "x = = 1\n",
		"package/data.txt":    "data",
	}})
	if got := outcomes["main"]; got.Err != "" {
		t.Errorf("%s", got.Exception.Traceback)
	}
	if got := outcomes["broken"]; got.Exception.Type != "SyntaxError" || !strings.Contains(got.Exception.Traceback, "x = = 1") {
		t.Errorf("a syntax error: %s\n%s", got.Err, got.Exception.Traceback)
	}
	if got := outcomes["missing"]; got.Err != "ModuleNotFoundError: No module named 'package.missing'" {
		t.Errorf("a missing module: %s", got.Err)
	}
}

// Python in this process is set up as the interpreter itself would be, from an
// environment too.
func TestSameAsTheInterpreter(t *testing.T) {
	const question = `
import faulthandler, json, os, sys, tracemalloc
def main(arg=None):
    return json.dumps([
        sys.executable, sys.prefix, sys.exec_prefix, sys.base_prefix, sys.version,
        [p for p in sys.path if p], list(sys.flags), sys.getfilesystemencoding(),
        sys.stdout.encoding, sys.stdout.line_buffering, sys.stdout.isatty(), sys.stdin is None,
        sys.getrecursionlimit(), sys.dont_write_bytecode, sorted(sys.warnoptions),
        "PYTHONHASHSEED" in os.environ and hash("text"), faulthandler.is_enabled(), tracemalloc.get_traceback_limit(),
    ])
`
	onEach(t, func(t *testing.T, base *Python) {
		env := t.TempDir()
		if out, err := exec.Command(base.Executable, "-m", "venv", "--without-pip", env).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		inEnv, err := Find(t.Context(), FindOptions{Explicit: env})
		if err != nil {
			t.Fatal(err)
		}
		for _, python := range []*Python{base, inEnv} {
			for _, extra := range [][]string{
				nil,
				{"LC_ALL=C", "PYTHONPATH=/somewhere", "PYTHONDONTWRITEBYTECODE=1", "PYTHONWARNINGS=error"},
				{"PYTHONHASHSEED=1", "PYTHONFAULTHANDLER=1", "PYTHONTRACEMALLOC=2", "PYTHONDEVMODE=1", "PYTHONSAFEPATH=1", "PYTHONOPTIMIZE=1"},
			} {
				plain := exec.Command(python.Executable, "-X", "utf8", "-c", question+"print(main(), end='')")
				plain.Env = venv.CleanEnv(extra...)
				want, err := plain.Output()
				if err != nil {
					t.Fatal(err)
				}
				c := prepare(t, script{Python: python, Source: question, Calls: []string{"main"}})
				c.cmd.Env = append(c.cmd.Env, extra...)
				c.start()
				var wanted, got any
				if err := json.Unmarshal(want, &wanted); err != nil {
					t.Fatal(err)
				}
				if err := json.Unmarshal(c.wait()["main"].Answer, &got); err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(got, wanted) {
					t.Errorf("%s %v:\ngot  %v\nwant %v", python.Executable, extra, got, wanted)
				}
			}
		}
	})
}

func TestArgv(t *testing.T) {
	const source = `
import sys
def main(arg): return repr(sys.argv)
`
	outcomes, _ := run(t, script{Python: newest(t), Source: source, Calls: []string{"main"}, Argv: []string{"prog", "", "é", "-c"}})
	if got := string(outcomes["main"].Answer); got != "['prog', '', 'é', '-c']" {
		t.Errorf("sys.argv is %s", got)
	}
}

// Processes that Python starts: with its own interpreter, and by fork, where
// only one thread of Go is left.
func TestProcesses(t *testing.T) {
	const source = `
import os, sys

def fork(child):
    pid = os.fork()
    if pid == 0:
        child()
        return None
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def go_fails():
    import _reflex
    try:
        _reflex.echo(b"")
    except RuntimeError as e:
        if str(e) == "a forked child cannot call Go":
            os._exit(9)

def fails(): raise ValueError("in the child")

def forks(arg):
    statuses = []
    for child in (lambda: None, lambda: os._exit(7), lambda: sys.exit(8), go_fails, fails, lambda: sys.exit("text")):
        status = fork(child)
        if status is None:
            print("returned")
            return b"in the child"
        statuses.append(status)
    return repr(statuses)

def spawn(arg):
    import multiprocessing, subprocess
    prefix = subprocess.run([sys.executable, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True)
    assert prefix.stdout.strip() == sys.prefix, prefix
    for method in "spawn", "fork":
        with multiprocessing.get_context(method).Pool(1) as pool:
            assert pool.apply(abs, (-1,)) == 1
`
	onEach(t, func(t *testing.T, python *Python) {
		outcomes, c := run(t, script{Python: python, Source: source, Calls: []string{"forks", "spawn"}})
		if got := string(outcomes["forks"].Answer); got != "[0, 7, 8, 9, 1, 1]" {
			t.Errorf("the forked children ended with %s %s", got, outcomes["forks"].Err)
		}
		if got := outcomes["spawn"]; got.Err != "" {
			t.Errorf("%s", got.Exception.Traceback)
		}
		if c.stdout.String() != "returned\n" {
			t.Errorf("stdout: %q", &c.stdout)
		}
		if stderr := c.stderr.String(); !strings.HasSuffix(stderr, "ValueError: in the child\ntext\n") {
			t.Errorf("stderr: %q", stderr)
		}
	})
}

func TestHuge(t *testing.T) {
	if testing.Short() {
		t.Skip("100 MB")
	}
	const source = `
import _reflex
def main(arg): 
    assert _reflex.echo(b"x" * 100_000_000) == b"x" * 100_000_000
    return b"x" * 100_000_000
def raises(arg): raise ValueError("x" * 100_000_000)
`
	outcomes, _ := run(t, script{Python: newest(t), Source: source, Calls: []string{"main", "raises"}})
	if got := outcomes["main"]; string(got.Answer) != "100000000 bytes" {
		t.Errorf("%s %s", got.Answer, got.Err)
	}
	if got := outcomes["raises"]; got.Err != "100000012 bytes" { // "ValueError: xxx…"
		t.Errorf("%s %s", got.Answer, got.Err)
	}
}

func TestClose(t *testing.T) {
	const source = `
import atexit, os, sys, threading, time

def buffered(arg):
    print("out" * 10, end="")
    sys.stderr.write("err")

def at_exit(arg):
    atexit.register(print, "at exit")
    print("main")

def threads(arg):
    begun = threading.Event()
    def daemon():
        begun.set()
        while True: time.sleep(0.001)
    def worker():
        time.sleep(0.05)
        print("worker is done")
    threading.Thread(target=daemon, daemon=True).start()
    threading.Thread(target=worker).start()
    begun.wait()

def daemon_in_go(arg):
    import _reflex
    begun = threading.Event()
    def wait():
        begun.set()
        _reflex.wait(b"")
    threading.Thread(target=wait, daemon=True).start()
    begun.wait()

def closed(arg):
    print("before")
    sys.stdout.close()

def none(arg):
    sys.stdout = sys.stderr = None

def no_descriptor(arg):
    print("lost")
    os.close(1)
`
	tests := []struct{ call, stdout, stderr, err string }{
		{call: "buffered", stdout: strings.Repeat("out", 10), stderr: "err"},
		{call: "at_exit", stdout: "main\nat exit\n"},
		{call: "threads", stdout: "worker is done\n"},
		{call: "daemon_in_go"},
		{call: "closed", stdout: "before\n"},
		{call: "none"},
		{call: "no_descriptor", err: "writing what Python printed: OSError: [Errno 9] Bad file descriptor"},
	}
	onEach(t, func(t *testing.T, python *Python) {
		for _, test := range tests {
			outcomes, c := run(t, script{Python: python, Source: source, Calls: []string{test.call}})
			if got := outcomes[test.call]; got.Err != "" {
				t.Errorf("%s: %s", test.call, got.Err)
			}
			if got := outcomes["close"].Err; got != test.err {
				t.Errorf("%s: Close: %q, want %q", test.call, got, test.err)
			}
			if c.stdout.String() != test.stdout || c.stderr.String() != test.stderr {
				t.Errorf("%s: stdout %q, stderr %q", test.call, &c.stdout, &c.stderr)
			}
		}
	})
}

// What could not be written is an error of Close, and no complaint on stderr.
func TestCloseUnwritable(t *testing.T) {
	const source = `
def main(arg): print("text")
`
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full on this machine")
	}
	defer full.Close()
	onEach(t, func(t *testing.T, python *Python) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		r.Close()
		for _, test := range []struct {
			stdout *os.File
			kind   string
		}{{full, "OSError"}, {w, "BrokenPipeError"}} {
			c := prepare(t, script{Python: python, Source: source, Calls: []string{"main"}})
			c.cmd.Stdout = test.stdout
			c.start()
			got := c.wait()["close"]
			if got.Exception == nil || got.Exception.Type != test.kind {
				t.Errorf("Close: %q, want %s", got.Err, test.kind)
			}
			if c.stderr.Len() > 0 {
				t.Errorf("stderr: %s", &c.stderr)
			}
		}
	})
}

func TestStartErrors(t *testing.T) {
	python := newest(t)
	if _, err := Start(python, Options{}); err == nil || err.Error() != "embedpy: Start must be called on the main goroutine" {
		t.Errorf("in a goroutine: %v", err)
	}
	broken := func(change func(*Python)) string {
		p := *python
		change(&p)
		c := prepare(t, script{Python: &p})
		c.start()
		c.cmd.Wait()
		content, err := os.ReadFile(c.file + ".outcomes")
		if err != nil {
			t.Fatalf("the child died: %s", &c.stderr)
		}
		var outcomes []outcome
		if err := json.Unmarshal(content, &outcomes); err != nil {
			t.Fatal(err)
		}
		return outcomes[0].Err
	}
	for name, test := range map[string]struct {
		change func(*Python)
		want   string
	}{
		"no file":   {func(p *Python) { p.Library = "/nowhere/libpython.so" }, "/nowhere/libpython.so"},
		"no ELF":    {func(p *Python) { p.Library = "/etc/passwd" }, "/etc/passwd"},
		"not alike": {func(p *Python) { p.FullVersion = "3.1" }, `the interpreter is "3.1", but ` + python.Library + ` is "` + python.Version},
	} {
		got := broken(test.change)
		if !strings.HasPrefix(got, "cannot run Python "+python.Version+" (") || !strings.Contains(got, test.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// The point of capi: this binary was linked with no libpython.
func TestNotLinked(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ldd", self).Output()
	if err != nil {
		t.Skip("no ldd on this machine")
	}
	if bytes.Contains(out, []byte("python")) {
		t.Errorf("%s", out)
	}
}
