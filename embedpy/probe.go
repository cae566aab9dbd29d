package embedpy

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// oldest is the oldest Python that SQLAlchemy and the driver run on.
const oldest = "3.10"

// probeTimeout is for an interpreter that does not answer. Tests shorten it.
var probeTimeout = 5 * time.Second

//go:embed probe.py
var probeScript string

// unusable is an interpreter that cannot be used.
type unusable struct {
	reason string
	fix    string
	silent bool // it did not even answer
}

func (e *unusable) Error() string { return e.reason }

// inspect asks an interpreter about itself, or the cache about the interpreter.
// The error is an *unusable, or the context's.
func inspect(ctx context.Context, dir, executable string) (*Python, error) {
	if reason := missing(executable); reason != "" {
		return nil, &unusable{reason: reason, fix: remake(executable), silent: true}
	}
	key, err := newCacheKey(executable)
	if err != nil {
		return nil, &unusable{reason: err.Error(), silent: true}
	}
	if python := key.load(); python != nil {
		return python, nil
	}
	facts, err := probe(ctx, dir, executable)
	if err != nil {
		return nil, err
	}
	python, err := facts.python(executable)
	if err != nil {
		return nil, err
	}
	if python.Executable == executable { // not a shim, which may run another one tomorrow
		key.store(python)
	}
	return python, nil
}

// remake is the command that repairs an environment.
func remake(executable string) string {
	env := filepath.Dir(filepath.Dir(executable))
	if _, err := os.Stat(filepath.Join(env, "pyvenv.cfg")); err != nil {
		return ""
	}
	return "Make the environment again: " + makeVenv + " --clear " + env
}

// facts is what probe.py prints.
type facts struct {
	executable, version, fullVersion, implementation, bits string
	basePrefix, library                                    string
}

// probe runs probe.py. -I and -S keep the user's code and variables out of it,
// and a marker on both sides what a wrapper script may print.
func probe(ctx context.Context, dir, executable string) (*facts, error) {
	limited, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	cmd := exec.CommandContext(limited, executable, "-I", "-S", "-c", probeScript)
	cmd.Dir = dir // pyenv's shims choose by directory
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	endAll(cmd)
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if limited.Err() != nil {
		return nil, &unusable{reason: fmt.Sprintf("gave no answer within %v", probeTimeout), silent: true}
	}
	_, answer, found := strings.Cut(stdout.String(), "<embedpy\x00")
	answer, _, complete := strings.Cut(answer, "\x00embedpy>")
	fields := strings.Split(answer, "\x00")
	f := &facts{}
	targets := []*string{
		&f.executable, &f.version, &f.fullVersion, &f.implementation, &f.bits,
		&f.basePrefix, &f.library,
	}
	if err != nil || !found || !complete || len(fields) != len(targets) {
		return nil, &unusable{reason: silence(err, stderr.String()), fix: remake(executable), silent: true}
	}
	for i, target := range targets {
		*target = fields[i]
	}
	return f, nil
}

// silence says how an interpreter failed to answer.
func silence(err error, stderr string) string {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return "is not for this machine (" + runtime.GOOS + "/" + runtime.GOARCH + ")"
	case errors.Is(err, os.ErrPermission):
		return "may not be run: permission denied"
	case strings.Contains(stderr, "Unknown option: -I"):
		return "is Python 2; Python " + oldest + " or later is needed"
	case err == nil:
		return "does not answer like a Python"
	}
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	reason := lines[0]
	if strings.HasPrefix(reason, "Traceback") {
		reason = lines[len(lines)-1]
	}
	for _, line := range lines {
		if strings.HasPrefix(line, "Fatal Python error:") {
			reason = line
		}
	}
	return strings.TrimSuffix("does not run: "+err.Error()+": "+reason, ": ")
}

// python makes sense of the facts.
func (f *facts) python(executable string) (*Python, error) {
	var major, minor int
	fmt.Sscanf(f.version, "%d.%d", &major, &minor)
	switch {
	case f.implementation != "cpython":
		return nil, &unusable{reason: "is " + f.implementation + "; only CPython can be used"}
	case major < 3 || major == 3 && minor < 10:
		return nil, &unusable{reason: "is Python " + f.version + "; " + oldest + " or later is needed"}
	case f.bits != "64":
		return nil, &unusable{reason: "is a " + f.bits + "-bit Python; this program needs a 64-bit one"}
	}
	if f.executable != "" { // differs where executable is a shim
		executable = f.executable
	}
	python := &Python{
		Executable:  executable,
		Version:     f.version,
		FullVersion: f.fullVersion,
		Prefix:      prefix(executable, f.basePrefix),
		BasePrefix:  f.basePrefix,
	}
	if info, err := os.Stat(f.library); err == nil && info.Mode().IsRegular() {
		python.Library = f.library
	}
	return python, nil
}
