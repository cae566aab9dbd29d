package embedpy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// A process can start one Python, once. So the tests start this test binary
// again for each interpreter and say in a file what it should run there.

// envScript names the file.
const envScript = "EMBEDPY_TEST_SCRIPT"

// A script is what one process runs: module m with the given source, and a call
// of each of the named functions in turn.
type script struct {
	Python *Python
	Source string
	Files  map[string]string // more modules
	Calls  []string
	Args   [][]byte // of each call
	Become bool     // become the Python, which makes the first call
}

// An outcome is how a call ended, or Start or Become (Call "start"), or Close ("close").
type outcome struct {
	Call    string
	Status  int
	Err     string // of any type
	Type    string // of the Python exception that Err is
	Library bool   // Err is a LibraryError
}

func TestMain(m *testing.M) {
	if file := os.Getenv(envScript); file != "" {
		os.Exit(runScript(file))
	}
	os.Exit(m.Run())
}

// runScript runs in the child.
func runScript(file string) int {
	content, err := os.ReadFile(file)
	if err != nil {
		panic(err)
	}
	var s script
	if err := json.Unmarshal(content, &s); err != nil {
		panic(err)
	}
	var outcomes []outcome
	defer func() {
		content, _ := json.Marshal(outcomes)
		if err := os.WriteFile(file+".outcomes", content, 0o600); err != nil {
			panic(err)
		}
	}()
	note := func(call string, status int, err error) {
		o := outcome{Call: call, Status: status}
		if err != nil {
			var raised *Error
			var library *LibraryError
			o.Err, o.Library = err.Error(), errors.As(err, &library)
			if errors.As(err, &raised) {
				o.Type = raised.Type
			}
		}
		outcomes = append(outcomes, o)
	}

	modules := map[string]string{"m.py": s.Source}
	maps.Copy(modules, s.Files)
	var args []string
	for _, arg := range s.Args {
		args = append(args, string(arg))
	}
	if s.Become {
		note("start", 0, Become(s.Python, modules, "m", s.Calls[0], args...))
		return 1
	}
	in, err := Start(s.Python, modules)
	if err != nil {
		note("start", 0, err)
		return 1
	}
	for _, call := range s.Calls {
		status, err := in.Call("m", call, args...)
		note(call, status, err)
	}
	note("close", 0, in.Close())
	return 0
}

// A child is a process that runs a script.
type child struct {
	t              *testing.T
	cmd            *exec.Cmd
	file           string
	stdout, stderr bytes.Buffer
}

// prepare makes a child, of which a test may still change how it is started.
func prepare(t *testing.T, s script) *child {
	t.Helper()
	content, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, file: filepath.Join(t.TempDir(), "script.json")}
	if err := os.WriteFile(c.file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // a child that hangs
	t.Cleanup(cancel)
	c.cmd = exec.CommandContext(ctx, self)
	c.cmd.Env = venv.CleanEnv(envScript+"="+c.file, "GOTRACEBACK=all") // for a child that hangs
	c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(syscall.SIGQUIT) } // with a Go stack trace
	c.cmd.WaitDelay = 5 * time.Second
	return c
}

// through starts the child by a command line of the shell, in which "$0" is the child.
func (c *child) through(shell string) {
	c.cmd.Args = []string{"sh", "-c", shell, c.cmd.Path}
	c.cmd.Path = "/bin/sh"
}

func (c *child) start() {
	c.t.Helper()
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
}

// outcomes returns how the calls ended, by name.
func (c *child) outcomes() map[string]outcome {
	c.t.Helper()
	status := c.cmd.Wait()
	content, err := os.ReadFile(c.file + ".outcomes")
	if err != nil {
		c.t.Fatalf("the child died: %v\nstdout: %s\nstderr: %s", status, &c.stdout, &c.stderr)
	}
	var list []outcome
	if err := json.Unmarshal(content, &list); err != nil {
		c.t.Fatal(err)
	}
	outcomes := map[string]outcome{}
	for _, o := range list {
		outcomes[o.Call] = o
	}
	return outcomes
}

// wait is outcomes of a child whose Python starts.
func (c *child) wait() map[string]outcome {
	c.t.Helper()
	outcomes := c.outcomes()
	if start, ok := outcomes["start"]; ok {
		c.t.Fatalf("Start: %s\n%s", start.Err, &c.stderr)
	}
	return outcomes
}

// end waits for a child that has no outcomes: it has become Python, or a signal ends it.
func (c *child) end() syscall.WaitStatus {
	c.t.Helper()
	err := c.cmd.Wait()
	if _, died := err.(*exec.ExitError); err != nil && !died {
		c.t.Fatal(err)
	}
	if content, err := os.ReadFile(c.file + ".outcomes"); err == nil {
		c.t.Fatalf("the child ended in Go: %s\n%s", content, &c.stderr)
	}
	return c.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

// run is prepare, start and wait.
func run(t *testing.T, s script) (map[string]outcome, *child) {
	t.Helper()
	c := prepare(t, s)
	c.start()
	return c.wait(), c
}

// runBecome runs a script's first call in the Python that the child becomes.
func runBecome(t *testing.T, s script) (status int, c *child) {
	t.Helper()
	s.Become = true
	c = prepare(t, s)
	c.start()
	return c.end().ExitStatus(), c
}

// found is the Python of a test.
func found(t *testing.T, executable string) *Python {
	t.Helper()
	python, err := Find(t.Context(), FindOptions{Explicit: executable})
	if err != nil {
		t.Fatal(err)
	}
	return python
}

// onEach runs a test with every interpreter of the machine that uses a libpython.
func onEach(t *testing.T, test func(t *testing.T, python *Python)) {
	for _, interpreter := range venv.Interpreters(t) {
		t.Run(interpreter.Version, func(t *testing.T) { test(t, found(t, interpreter.Executable)) })
	}
}

// newest is for tests where one interpreter is enough.
func newest(t *testing.T) *Python {
	t.Helper()
	return found(t, venv.Newest(t).Executable)
}

// static is a Python that uses no libpython.
func static(t *testing.T) *Python {
	t.Helper()
	python := found(t, venv.Static(t).Executable)
	if python.Library != "" {
		t.Fatalf("%s uses a libpython: %s", python.Executable, python.Library)
	}
	return python
}
