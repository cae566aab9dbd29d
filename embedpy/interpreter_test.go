package embedpy

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// The calls follow one another in one process: none may break the next. A Python that the
// process becomes ends with the same statuses, and shows the same.
func TestCall(t *testing.T) {
	const source = `
import sys

def as_none(*args): pass
def as_int(*args): return 7
def as_minus(*args): return -1
def as_text(*args): return "no"
def raises(*args): {}["here"]
def no_memory(*args): raise MemoryError
def exit_none(*args): sys.exit()
def exit_number(*args): sys.exit(3)
def exit_large(*args): sys.exit(259)
def exit_text(*args): sys.exit("left")
def interrupt(*args): raise KeyboardInterrupt
def without_stderr(*args):
    stderr, sys.stderr = sys.stderr, None
    try:
        sys.exit("nowhere to say it")
    finally:
        import atexit
        atexit.register(setattr, sys, "stderr", stderr)
def closed_stderr(*args):
    class Closed:
        def write(self, text): raise ValueError("closed")
        def flush(self): pass
    sys.stderr = Closed()
    sys.exit("nobody to read it")
def hook(*args):
    sys.stderr = sys.__stderr__
    sys.excepthook = lambda *args: sys.stderr.write(f"the hook has {args[0].__name__}\n")
    raise ValueError("x")
def broken_hook(*args):
    sys.stderr = sys.__stderr__
    sys.excepthook = lambda *args: 1 / 0
    raise ValueError("shown")
def recursion(*args): return recursion(*args)
`
	calls := []struct {
		name   string
		status int
		stderr string
	}{
		{"as_none", 0, ""},
		{"as_int", 7, ""},
		{"as_minus", 255, ""},
		{"as_text", 1, "no\n"},
		{"raises", 1, "KeyError: 'here'\n"},
		{"no_memory", 1, "MemoryError\n"},
		{"exit_none", 0, ""},
		{"exit_number", 3, ""},
		{"exit_large", 3, ""},
		{"exit_text", 1, "left\n"},
		{"interrupt", 130, "KeyboardInterrupt\n"},
		{"no_such_function", 1, "AttributeError: module 'm' has no attribute 'no_such_function'\n"},
		{"without_stderr", 1, ""},
		{"closed_stderr", 1, ""},
		{"hook", 1, "the hook has ValueError\n"},
		{"broken_hook", 1, "ValueError: shown\n"},
		{"recursion", 1, ""},
	}
	check := func(t *testing.T, name string, status, want int, c *child, stderr string) {
		t.Helper()
		if status != want {
			t.Errorf("%s: status %d, want %d", name, status, want)
		}
		if c.stdout.Len() > 0 || stderr == "" && c.stderr.Len() > 0 || !strings.HasSuffix(c.stderr.String(), stderr) {
			t.Errorf("%s: stdout %q, stderr %q, want %q", name, &c.stdout, &c.stderr, stderr)
		}
	}
	onEach(t, func(t *testing.T, python *Python) {
		s := script{Python: python, Source: source}
		for _, call := range calls {
			s.Calls = append(s.Calls, call.name)
		}
		outcomes, _ := run(t, s)
		for _, want := range calls {
			if got := outcomes[want.name]; got.Err != "" || got.Status != want.status {
				t.Errorf("%s: status %d %s, want %d", want.name, got.Status, got.Err, want.status)
			}
		}
	})
	newest, static := newest(t), static(t)
	for _, call := range calls {
		if call.name == "recursion" { // its text is long
			continue
		}
		s := script{Python: newest, Source: source, Calls: []string{call.name}}
		outcomes, c := run(t, s)
		check(t, call.name, outcomes[call.name].Status, call.status, c, call.stderr)
		status, c := runBecome(t, script{Python: static, Source: source, Calls: s.Calls})
		check(t, call.name+" in a Python without libpython", status, call.status, c, call.stderr)
	}

	// A traceback begins in the module, and has its source.
	_, c := run(t, script{Python: newest, Source: source, Calls: []string{"raises"}})
	const begin = "Traceback (most recent call last):\n  File \"<embedpy>/m.py\", line "
	if shown := c.stderr.String(); !strings.HasPrefix(shown, begin) || !strings.Contains(shown, `{}["here"]`) {
		t.Errorf("the traceback does not begin in m.py, with its source:\n%s", shown)
	}
}

// What is not text in Python's encoding comes as in sys.argv.
func TestArguments(t *testing.T) {
	const source = `
import os, sys
def main(*args):
    print(ascii(args), [os.fsencode(a) for a in args] == [a.encode("utf-8", "surrogateescape") for a in args])
`
	args := [][]byte{[]byte("prog"), {}, []byte("é"), []byte("-c"), []byte("a b\n\"'\\"), []byte("\xff\xfe\x80"), []byte("𝄞")}
	const want = `('prog', '', '\xe9', '-c', 'a b\n"\'\\', '\udcff\udcfe\udc80', '\U0001d11e') True` + "\n"
	onEach(t, func(t *testing.T, python *Python) {
		for _, locale := range []string{"C.UTF-8", "C"} { // in which Python takes UTF-8, by PEP 538
			c := prepare(t, script{Python: python, Source: source, Calls: []string{"main"}, Args: args})
			c.cmd.Env = append(c.cmd.Env, "LC_ALL=", "LC_CTYPE=", "LANG="+locale)
			c.start()
			if c.wait(); c.stdout.String() != want {
				t.Errorf("%s: %s, want %s", locale, &c.stdout, want)
			}
		}
	})
	if _, c := runBecome(t, script{Python: static(t), Source: source, Calls: []string{"main"}, Args: args}); c.stdout.String() != want {
		t.Errorf("in a Python without libpython: %s %s, want %s", &c.stdout, &c.stderr, want)
	}
}

// Modules in memory behave like those on disk.
func TestModules(t *testing.T) {
	const source = `
def main():
    import importlib, inspect, pkgutil
    import package.inner
    assert package.inner.up == package.name, package.inner.up
    assert "inspected" in inspect.getsource(package.inner.f)
    assert package.name == "\u2028 <&> \U0001d11e \\u0041 \"", ascii(package.name)
    assert pkgutil.get_data("package", "data.txt") == b"data \xc3\xa9", "get_data"
    assert package.__file__ == "<embedpy>/package/__init__.py", package.__file__
    importlib.reload(package.inner)
    import wave
    assert wave.ours, wave  # before one of the same name elsewhere

def broken():
    import package.broken

def missing():
    import package.missing
`
	s := script{Source: source, Files: map[string]string{
		"package/__init__.py": "name = '\u2028 <&> \U0001d11e \\\\u0041 \"'\n",
		"package/inner.py":    "from . import name as up\ndef f():\n    return 'inspected'\n",
		"package/broken.py":   "x = = 1\n",
		"package/data.txt":    "data é",
		"wave.py":             "ours = True\n",
	}}
	newest, static := newest(t), static(t)
	for call, want := range map[string]struct {
		status int
		stderr []string
	}{
		"main":    {0, nil},
		"broken":  {1, []string{"x = = 1", "SyntaxError"}},
		"missing": {1, []string{"ModuleNotFoundError: No module named 'package.missing'"}},
	} {
		s.Python, s.Calls = newest, []string{call}
		outcomes, embedded := run(t, s)
		s.Python = static
		status, become := runBecome(t, s)
		for c, got := range map[*child]int{embedded: outcomes[call].Status, become: status} {
			if got != want.status {
				t.Errorf("%s: status %d %s", call, got, &c.stderr)
			}
			for _, text := range want.stderr {
				if !strings.Contains(c.stderr.String(), text) {
					t.Errorf("%s is not shown:\n%s", text, &c.stderr)
				}
			}
		}
	}
}

// facts are what a program can see of how Python was started.
const startFacts = `
import codecs, faulthandler, io, json, locale, os, sys, tracemalloc
def main():
    print(json.dumps([
        sys.executable, sys.prefix, sys.exec_prefix, sys.base_prefix, sys.version,
        [p for p in sys.path if p], list(sys.flags), sys._xoptions, sys.getfilesystemencoding(), sys.getfilesystemencodeerrors(),
        [[s.encoding, s.errors, s.line_buffering, s.isatty()] for s in (sys.stdin, sys.stdout, sys.stderr)],
        locale.getpreferredencoding(False), io.open(os.devnull).encoding, ascii(os.fsdecode(b"\xe9")),
        {k: v for k, v in os.environ.items() if k.startswith(("LC_", "LANG", "PYTHON"))},
        sys.getrecursionlimit(), sys.dont_write_bytecode, sys.pycache_prefix, sorted(sys.warnoptions),
        "PYTHONHASHSEED" in os.environ and hash("text"), faulthandler.is_enabled(), tracemalloc.get_traceback_limit(),
        [m for m in ("importlib.machinery", "runpy", "pdb") if m in sys.modules],
    ], indent=1))
`

// Python in this process is set up as the interpreter itself would be, from an
// environment too, and in every locale.
func TestSameAsTheInterpreter(t *testing.T) {
	environments := [][]string{
		nil,
		{"LC_ALL=C", "PYTHONPATH=/somewhere", "PYTHONDONTWRITEBYTECODE=1", "PYTHONWARNINGS=error"},
		{"LC_ALL=C", "PYTHONCOERCECLOCALE=0"},
		{"LC_ALL=C.UTF-8", "PYTHONUTF8=0"},
		{"LC_ALL=POSIX", "PYTHONUTF8=0"},
		{"LC_ALL=C", "PYTHONUTF8=1"},
		{"LC_ALL=", "LC_CTYPE=", "LANG=C"},
		{"PYTHONIOENCODING=latin-1:replace", "PYTHONUNBUFFERED=1", "PYTHONPYCACHEPREFIX=/nowhere"},
		{"PYTHONHASHSEED=1", "PYTHONFAULTHANDLER=1", "PYTHONTRACEMALLOC=2", "PYTHONDEVMODE=1", "PYTHONSAFEPATH=1", "PYTHONOPTIMIZE=1"},
	}
	if locales := latin1(t); locales != "" {
		for _, utf8 := range []string{"", "0", "1"} {
			environments = append(environments, []string{"LOCPATH=" + locales, "LC_ALL=en_US.ISO-8859-1", "PYTHONUTF8=" + utf8})
		}
	}
	onEach(t, func(t *testing.T, base *Python) {
		env := t.TempDir()
		if out, err := exec.Command(base.Executable, "-m", "venv", "--without-pip", env).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, python := range []*Python{base, found(t, env)} {
			for _, extra := range environments {
				want := plain(t, python, startFacts, extra)
				c := prepare(t, script{Python: python, Source: startFacts, Calls: []string{"main"}})
				c.cmd.Env = append(c.cmd.Env, extra...)
				c.start()
				if c.wait(); c.stdout.String() != want {
					t.Errorf("%s %v:\n%s", python.Executable, extra, difference(c.stdout.String(), want))
				}
			}
		}
	})
	t.Run("become", func(t *testing.T) {
		python := static(t)
		for _, extra := range environments {
			want := plain(t, python, startFacts, extra)
			c := prepare(t, script{Python: python, Source: startFacts, Calls: []string{"main"}, Become: true})
			c.cmd.Env = append(c.cmd.Env, extra...)
			c.start()
			if c.end(); c.stdout.String() != want {
				t.Errorf("%v:\n%s%s", extra, difference(c.stdout.String(), want), &c.stderr)
			}
		}
	})
}

// plain is what the interpreter itself prints when it calls main of a source.
func plain(t *testing.T, python *Python, source string, extra []string) string {
	t.Helper()
	cmd := exec.Command(python.Executable, "-c", source+"main()")
	cmd.Env = venv.CleanEnv(extra...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr // as the child's, no terminal
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	return string(out)
}

func difference(got, want string) string {
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
	var b strings.Builder
	for i := range max(len(gotLines), len(wantLines)) {
		g, w := "", ""
		if i < len(gotLines) {
			g = gotLines[i]
		}
		if i < len(wantLines) {
			w = wantLines[i]
		}
		if g != w {
			fmt.Fprintf(&b, "got  %s\nwant %s\n", g, w)
		}
	}
	return b.String()
}

// latin1 is a directory with a locale that is not UTF-8; "" if none can be made here.
func latin1(t *testing.T) string {
	dir := t.TempDir()
	out, err := exec.Command("localedef", "-i", "en_US", "-f", "ISO-8859-1", filepath.Join(dir, "en_US.ISO-8859-1")).CombinedOutput()
	if err != nil {
		t.Logf("without a locale of Latin-1: localedef: %v %s", err, out)
		return ""
	}
	return dir
}

// Processes that Python starts: with its own interpreter, and by fork, where
// only one thread of Go is left.
func TestProcesses(t *testing.T) {
	const source = `
import atexit, os, sys

def fork(child):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        return child
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

def text(): return "text"
def exits(): sys.exit(8)
def fails(): raise ValueError("in the child")
def ends(): os._exit(7)
def handler():
    atexit.register(print, "at the child's end")
def broken_handler():
    atexit.register(lambda: 1 / 0)
    return 5
def no_room():
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
    print("lost")
def threads():
    import threading, time
    threading.Thread(target=lambda: (time.sleep(0.05), print("the child's thread"))).start()

def forks():
    for child in (lambda: None, ends, exits, fails, text, handler, broken_handler, threads):
        if fork(child):
            return child()

def forks_full():
    if fork(no_room):
        return no_room()

def spawn():
    import multiprocessing, subprocess
    prefix = subprocess.run([sys.executable, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True)
    assert prefix.stdout.strip() == sys.prefix, prefix
    for method in "spawn", "fork", "forkserver":
        with multiprocessing.get_context(method).Pool(1) as pool:
            assert pool.apply(abs, (-1,)) == 1
`
	const stdout = "0\n7\n8\n1\n1\nat the child's end\n0\n5\nthe child's thread\n0\n"
	check := func(t *testing.T, status int, c *child) {
		t.Helper()
		if status != 0 || c.stdout.String() != stdout {
			t.Errorf("status %d, stdout %q, want %q", status, &c.stdout, stdout)
		}
		for _, want := range []string{"ValueError: in the child\ntext\n", "ZeroDivisionError"} {
			if !strings.Contains(c.stderr.String(), want) {
				t.Errorf("stderr is without %q: %q", want, &c.stderr)
			}
		}
	}
	onEach(t, func(t *testing.T, python *Python) {
		outcomes, c := run(t, script{Python: python, Source: source, Calls: []string{"forks"}})
		check(t, outcomes["forks"].Status, c)
		outcomes, c = run(t, script{Python: python, Source: source, Calls: []string{"spawn"}})
		if outcomes["spawn"].Status != 0 {
			t.Errorf("%s", &c.stderr)
		}
		if _, err := os.Stat("/dev/full"); err == nil {
			_, c = run(t, script{Python: python, Source: source, Calls: []string{"forks_full"}})
			if c.stdout.String() != "120\n" {
				t.Errorf("a child whose output is lost: %s %s", &c.stdout, &c.stderr)
			}
		}
	})
	t.Run("become", func(t *testing.T) {
		python := static(t)
		status, c := runBecome(t, script{Python: python, Source: source, Calls: []string{"forks"}})
		check(t, status, c)
		if status, c := runBecome(t, script{Python: python, Source: source, Calls: []string{"spawn"}}); status != 0 {
			t.Errorf("%s", &c.stderr)
		}
	})
}

func TestClose(t *testing.T) {
	const source = `
import atexit, os, sys, threading, time

def buffered():
    print("out" * 10, end="")
    sys.stderr.write("err")

def at_exit():
    atexit.register(print, "at exit")
    print("main")

def threads():
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

def daemon_in_read():
    begun = threading.Event()
    read, write = os.pipe()
    def wait():
        begun.set()
        os.read(read, 1)
    threading.Thread(target=wait, daemon=True).start()
    begun.wait()

def closed():
    print("before")
    sys.stdout.close()

def none():
    sys.stdout = sys.stderr = None

def no_descriptor():
    print("lost")
    os.close(1)
`
	const lost = "writing what Python printed: its last output was lost"
	tests := []struct{ call, stdout, stderr, err string }{
		{call: "buffered", stdout: strings.Repeat("out", 10), stderr: "err"},
		{call: "at_exit", stdout: "main\nat exit\n"},
		{call: "threads", stdout: "worker is done\n"},
		{call: "daemon_in_read"},
		{call: "closed", stdout: "before\n"},
		{call: "none"},
		{call: "no_descriptor", stderr: "OSError: [Errno 9] Bad file descriptor\n", err: lost},
	}
	onEach(t, func(t *testing.T, python *Python) {
		for _, test := range tests {
			outcomes, c := run(t, script{Python: python, Source: source, Calls: []string{test.call}})
			if got := outcomes[test.call]; got.Err != "" || got.Status != 0 {
				t.Errorf("%s: %d %s", test.call, got.Status, got.Err)
			}
			if got := outcomes["close"].Err; got != test.err {
				t.Errorf("%s: Close: %q, want %q", test.call, got, test.err)
			}
			shown := c.stderr.String()
			if c.stdout.String() != test.stdout || !strings.HasSuffix(shown, test.stderr) || test.stderr == "" && shown != "" {
				t.Errorf("%s: stdout %q, stderr %q", test.call, &c.stdout, shown)
			}
		}
	})
}

// What could not be written is an error of Close.
func TestCloseUnwritable(t *testing.T) {
	const source = `
def main(): print("text")
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
		for kind, stdout := range map[string]*os.File{"OSError": full, "BrokenPipeError": w} {
			c := prepare(t, script{Python: python, Source: source, Calls: []string{"main"}})
			c.cmd.Stdout = stdout
			c.start()
			if got := c.wait()["close"].Err; !strings.Contains(got, "its last output was lost") {
				t.Errorf("%s: Close: %q", kind, got)
			}
			if !strings.Contains(c.stderr.String(), kind+": ") { // by Python
				t.Errorf("%s: stderr: %s", kind, &c.stderr)
			}
		}
	})
}

func TestStartErrors(t *testing.T) {
	python := newest(t)
	if _, err := Start(python, nil); err == nil || err.Error() != "embedpy: Start must be called on the main goroutine" {
		t.Errorf("in a goroutine: %v", err)
	}
	start := func(change func(*Python), s script, env ...string) outcome {
		p := *python
		change(&p)
		s.Python = &p
		c := prepare(t, s)
		c.cmd.Env = append(c.cmd.Env, env...)
		c.start()
		return c.outcomes()["start"]
	}
	for name, test := range map[string]struct {
		change func(*Python)
		want   string
	}{
		"none":      {func(p *Python) { p.Library = "" }, "Py_InitializeFromConfig"},
		"no file":   {func(p *Python) { p.Library = "/nowhere/libpython.so" }, "/nowhere/libpython.so"},
		"no ELF":    {func(p *Python) { p.Library = "/etc/passwd" }, "/etc/passwd"},
		"not alike": {func(p *Python) { p.FullVersion = "3.1" }, `the interpreter is "3.1", but ` + python.Library + ` is "` + python.Version},
	} {
		got := start(test.change, script{})
		if !got.Library || !strings.HasPrefix(got.Err, "cannot run Python "+python.Version+" (") || !strings.Contains(got.Err, test.want) {
			t.Errorf("%s: %+v", name, got)
		}
	}

	// The variables that Python reads are named, and their values are not shown.
	onEach(t, func(t *testing.T, each *Python) {
		python = each
		got := start(func(*Python) {}, script{}, "PYTHONHOME=/nowhere", "PYTHON_KEYRING_PASSWORD=hunter2", "NOT_PYTHONS=1")
		if !got.Library || !strings.Contains(got.Err, "It may be for one of these variables: PYTHON") {
			t.Errorf("%+v", got)
		}
		for _, name := range []string{"PYTHONHOME", "PYTHON_KEYRING_PASSWORD"} {
			if !strings.Contains(got.Err, name) {
				t.Errorf("%s is not named: %s", name, got.Err)
			}
		}
		for _, value := range []string{"/nowhere", "hunter2", "NOT_PYTHONS"} {
			if strings.Contains(got.Err, value) {
				t.Errorf("%s is shown: %s", value, got.Err)
			}
		}
		if got := start(func(p *Python) { p.FullVersion += "x" }, script{}, "PYTHON_SECRET=hunter2"); strings.Contains(got.Err, "PYTHON_SECRET") {
			t.Errorf("a variable is blamed for a wrong library: %s", got.Err)
		}
	})

	// Become comes back with an error.
	python = static(t)
	got := start(func(p *Python) { p.Executable = "/nowhere/python" }, script{Become: true, Calls: []string{"main"}})
	if !got.Library || !strings.Contains(got.Err, "no such file") || !strings.Contains(got.Err, "/nowhere/python") {
		t.Errorf("Become: %+v", got)
	}
}

// What is wrong about the use of the package is an error and no crash.
func TestMisuse(t *testing.T) {
	in := &Interpreter{}
	if _, err := in.Call("m", "f"); err == nil || err.Error() != "embedpy: Call must be called on the main goroutine" {
		t.Errorf("Call: %v", err)
	}
	if err := in.Close(); err == nil || err.Error() != "embedpy: Close must be called on the main goroutine" {
		t.Errorf("Close: %v", err)
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
