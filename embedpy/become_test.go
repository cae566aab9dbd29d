package embedpy

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The process stays the same one when it becomes a Python that uses no libpython. Nothing of
// how that is done is to be seen.
func TestBecome(t *testing.T) {
	const source = `
import json, os, sys, threading
def is_open(fd):
    try:
        return os.fstat(fd) is not None
    except OSError:
        return False
def main(*args):
    main = sys.modules["__main__"]
    print(json.dumps({
        "pid": os.getpid(), "args": args, "path": sys.path, "cwd": os.getcwd(), "stdin": sys.stdin.read(),
        "executable": sys.executable, "variable": os.environ.get("VARIABLE"),
        "descriptors": [fd for fd in range(3, 1024) if is_open(fd)],
        "main": sorted(n for n in vars(main) if n[:2] != "__"), "name": main.__name__, "threads": threading.active_count(),
        "modules": [n for n in ("importlib.machinery", "typing", "json.tool") if n in sys.modules],
    }))
    return 9
`
	const want = `{"pid": %d, "args": ["a b", "", "-x"], "path": %s, "cwd": "%s", "stdin": "input", ` +
		`"executable": "%s", "variable": "value", "descriptors": %s, "main": [], "name": "__main__", "threads": 1, "modules": []}` + "\n"
	python := static(t)
	dir := t.TempDir()
	inherited := plain(t, python, source[:strings.Index(source, "def main")]+
		"def main(): print([fd for fd in range(3, 1024) if is_open(fd)], end='')\n", nil)
	path := plain(t, python, "import sys, json\ndef main(): print(json.dumps(sys.path[1:]), end='')\n", nil)
	c := prepare(t, script{Python: python, Source: source, Calls: []string{"main"}, Become: true,
		Args: [][]byte{[]byte("a b"), {}, []byte("-x")}})
	c.cmd.Dir, c.cmd.Env = dir, append(c.cmd.Env, "VARIABLE=value", "PYTHONDEVMODE=1")
	c.cmd.Stdin = strings.NewReader("input")
	c.start()
	status := c.end()
	if text := fmt.Sprintf(want, c.cmd.Process.Pid, path, dir, python.Executable, inherited); c.stdout.String() != text {
		t.Errorf("got  %s\nwant %s%s", &c.stdout, text, &c.stderr)
	}
	if status.ExitStatus() != 9 || c.stderr.Len() > 0 {
		t.Errorf("status %d, stderr %s", status.ExitStatus(), &c.stderr)
	}
}

// A file of the project with the name of one of Python's modules is not imported.
func TestCurrentDirectory(t *testing.T) {
	const source = `
import importlib, os, signal, threading, atexit, random, sys
def main():
    print("imported", [p for p in sys.path if p in ("", os.getcwd())])
`
	static, dir := static(t), t.TempDir()
	for _, name := range []string{"importlib", "signal", "os", "sys", "threading", "atexit", "random", "_frozen_importlib", "typing", "codecs", "m"} {
		write(t, filepath.Join(dir, name+".py"), "raise SystemExit('imported "+name+" of the project')\n")
	}
	for _, extra := range []string{"", "PYTHONSAFEPATH=1", "PYTHONDONTWRITEBYTECODE=1"} {
		c := prepare(t, script{Python: static, Source: source, Calls: []string{"main"}, Become: true})
		c.cmd.Dir, c.cmd.Env = dir, append(c.cmd.Env, extra)
		c.start()
		if status := c.end(); status.ExitStatus() != 0 || c.stdout.String() != "imported []\n" {
			t.Errorf("%s: %v %s%s", extra, c.cmd.ProcessState, &c.stdout, &c.stderr)
		}
	}
	onEach(t, func(t *testing.T, python *Python) {
		c := prepare(t, script{Python: python, Source: source, Calls: []string{"main"}})
		c.cmd.Dir = dir
		c.start()
		if c.wait(); c.stdout.String() != "imported []\n" {
			t.Errorf("%s%s", &c.stdout, &c.stderr)
		}
	})
	if made, _ := os.ReadDir(filepath.Join(dir, "__pycache__")); len(made) > 0 {
		t.Errorf("modules of the project were compiled: %v", made)
	}
}

// Where the address space is limited, Go says how much it needs, or can become Python.
func TestAddressSpace(t *testing.T) {
	s := script{Python: newest(t), Source: "def main(): return 7\n", Calls: []string{"main"}, Become: true}
	for _, c := range []struct {
		kilobytes, status int
		stderr            string
	}{
		{300_000, 3, "Error: this program needs 1.5 GB of address space, and its limit (ulimit -v) is 307 MB\n"},
		{1_600_000, 7, ""},
		{3_000_000, 7, ""},
	} {
		child := prepare(t, s)
		child.through(fmt.Sprintf(`ulimit -v %d || exit 99; exec "$0"`, c.kilobytes))
		child.start()
		if status := child.end().ExitStatus(); status == 99 {
			t.Skip("this system has no limit of address space")
		} else if status != c.status || child.stderr.String() != c.stderr {
			t.Errorf("%d KB: status %d, %s", c.kilobytes, status, &child.stderr)
		}
	}
}

// Where the size of files is limited, the program is not cut: a part of it does nothing,
// and ends with 0.
func TestBecomeWithALimitOfFileSize(t *testing.T) {
	child := prepare(t, script{Python: static(t), Source: "def main(): return 7\n", Calls: []string{"main"}, Become: true})
	child.through(`ulimit -f 8 || exit 99; exec "$0"`) // 4 or 8 KB
	child.start()
	if told := child.outcomes()["start"].Err; !strings.Contains(told, "the limit of a file's size (ulimit -f) is ") {
		t.Errorf("the error is %q", told)
	}
}

// A stream that was closed is closed for Python, and nothing else takes its place.
func TestBecomeWithClosedStreams(t *testing.T) {
	source := "import sys\ndef main(): return 7 if sys.stdin is sys.stdout is sys.stderr is None else 8\n"
	child := prepare(t, script{Python: static(t), Source: source, Calls: []string{"main"}, Become: true})
	child.through(`exec "$0" <&- >&- 2>&-`)
	child.start()
	if status := child.end().ExitStatus(); status != 7 {
		t.Errorf("status %d", status)
	}
}

// What Go takes for the modules stays with Python's process: it is no more than their size.
func TestArchiveIsMadeInOnePiece(t *testing.T) {
	const size = 1 << 20
	modules := map[string]string{"a.py": strings.Repeat("a", size), "b.py": strings.Repeat("b", size)}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	text := archive(modules)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 2*size+size/4 {
		t.Errorf("%d bytes were taken for %d", took, len(text))
	}
}
