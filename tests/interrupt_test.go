package tests

import (
	"bytes"
	"os/exec"
	"regexp"
	"sync"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// interrupt runs a command and sends it a signal once its stderr matches.
func interrupt(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 4 || neg {
		ts.Fatalf("usage: interrupt SIGNAL PATTERN STATUS COMMAND [ARG...]")
	}
	signals := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}
	program, err := exec.LookPath(args[3])
	if err != nil {
		program = ts.MkAbs(args[3])
	}
	cmd := exec.Command(program, args[4:]...)
	cmd.Dir = ts.Getenv("PWD")
	stderr := &watched{pattern: regexp.MustCompile(args[1]), matched: make(chan struct{})}
	cmd.Stderr = stderr
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-stderr.matched:
		ts.Check(cmd.Process.Signal(signals[args[0]]))
		err = <-ended
	case err = <-ended:
		ts.Fatalf("ended before its stderr matched %q: %v\n%s", args[1], err, stderr)
	}
	ts.Logf("%s", stderr)
	wantStatus(ts, args[2], err)
}

// watched is a buffer that says when its text matches.
type watched struct {
	pattern *regexp.Regexp
	matched chan struct{}

	mu   sync.Mutex
	text bytes.Buffer
	done bool
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if !w.done && w.pattern.Match(w.text.Bytes()) {
		w.done = true
		close(w.matched)
	}
	return len(p), nil
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}
