package pgtest

import (
	"os/exec"
	"runtime"
	"syscall"
)

// A process is one that ends with this one, on Linux at least.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // of its end, once ended is closed
}

func spawn(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel counts the end of the thread, not of the process, as the
		// parent's death; this goroutine keeps its thread until the child ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		dieWithParent(cmd.SysProcAttr)
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.ended)
		}
	}()
	return p, <-started
}

func (p *process) signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }
