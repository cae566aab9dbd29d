//go:build unix

package embedpy

import (
	"io/fs"
	"os/exec"
	"syscall"
)

// Where an environment has its programs, and how one is made.
const (
	binDirectory = "bin"
	pythonName   = "python"
	python3Name  = "python3"
	makeVenv     = "python3 -m venv"
)

// ownerOf is the user that a file belongs to.
func ownerOf(info fs.FileInfo) (uid uint32, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return stat.Uid, true
}

// endAll has the end of cmd's context end a wrapper script's child with it.
func endAll(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
