package embedpy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"
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
	Argv   []string
	Calls  []string
	Arg    []byte
}

// An outcome is how a call ended, or Start (Call "start") or Close ("close"). Of
// something huge there is only the size.
type outcome struct {
	Call      string
	Answer    []byte
	Err       string // of any type
	Exception *Error
	IsGoError bool // errors.Is(err, errGo)
	Cancelled bool // errors.Is(err, context.Canceled)
}

var errGo = errors.New("a Go error \xff")

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
	note := func(call string, answer []byte, err error) {
		o := outcome{Call: call, Answer: answer}
		if err != nil {
			o.Err = err.Error()
			o.IsGoError, o.Cancelled = errors.Is(err, errGo), errors.Is(err, context.Canceled)
			errors.As(err, &o.Exception)
		}
		if len(answer) > 1<<20 || len(o.Err) > 1<<20 {
			o = outcome{Call: call, Answer: fmt.Appendf(nil, "%d bytes", len(answer)), Err: fmt.Sprintf("%d bytes", len(o.Err))}
		}
		outcomes = append(outcomes, o)
	}

	modules := fstest.MapFS{"m.py": {Data: []byte(s.Source)}}
	for name, content := range s.Files {
		modules[name] = &fstest.MapFile{Data: []byte(content)}
	}
	in, err := Start(s.Python, Options{Argv: s.Argv, Modules: modules})
	if err != nil {
		note("start", nil, err)
		return 1
	}
	var cancel context.CancelFunc
	for name, fn := range map[string]func([]byte) ([]byte, error){
		"echo":   func(b []byte) ([]byte, error) { return b, nil },
		"fail":   func([]byte) ([]byte, error) { return nil, errGo },
		"panic":  func([]byte) ([]byte, error) { panic("at the disco") },
		"nested": func(b []byte) ([]byte, error) { return in.Call(context.Background(), "m", string(b), nil) },
		"cancel": func([]byte) ([]byte, error) { cancel(); return nil, nil },
		"wait":   func([]byte) ([]byte, error) { return nil, fmt.Errorf("heard %v", <-in.Signals()) },
		"signal": func([]byte) ([]byte, error) { return []byte((<-in.Signals()).String()), nil },
	} {
		if err := in.Define(name, fn); err != nil {
			note("define", nil, err)
		}
	}
	for _, call := range s.Calls {
		var ctx context.Context
		ctx, cancel = context.WithCancel(context.Background())
		answer, err := in.Call(ctx, "m", call, s.Arg)
		cancel()
		note(call, answer, err)
	}
	note("close", nil, in.Close())
	return 0
}

// A child is a process that runs a script.
type child struct {
	t              *testing.T
	cmd            *exec.Cmd
	file           string
	stdout, stderr bytes.Buffer
}

// prepare makes a child; configure may change how it is started.
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

func (c *child) start() {
	c.t.Helper()
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
}

// wait returns how the calls ended, by name.
func (c *child) wait() map[string]outcome {
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
	if start, ok := outcomes["start"]; ok {
		c.t.Fatalf("Start: %s", start.Err)
	}
	return outcomes
}

// run is prepare, start and wait.
func run(t *testing.T, s script) (map[string]outcome, *child) {
	t.Helper()
	c := prepare(t, s)
	c.start()
	return c.wait(), c
}

// onEach runs a test with every interpreter of the machine.
func onEach(t *testing.T, test func(t *testing.T, python *Python)) {
	for _, interpreter := range venv.Interpreters(t) {
		t.Run(interpreter.Version, func(t *testing.T) {
			python, err := Find(t.Context(), FindOptions{Explicit: interpreter.Executable})
			if err != nil {
				t.Fatal(err)
			}
			test(t, python)
		})
	}
}

// newest is for tests where one interpreter is enough.
func newest(t *testing.T) *Python {
	t.Helper()
	python, err := Find(t.Context(), FindOptions{Explicit: venv.Newest(t).Executable})
	if err != nil {
		t.Fatal(err)
	}
	return python
}
