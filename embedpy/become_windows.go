package embedpy

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

func become(executable, program, archive string, args []string) error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	handle := read.Fd()
	if err := windows.SetHandleInformation(windows.Handle(handle), windows.HANDLE_FLAG_INHERIT, windows.HANDLE_FLAG_INHERIT); err != nil {
		return os.NewSyscallError("SetHandleInformation", err)
	}
	cmd := exec.Command(executable, words(fmt.Sprintf("__import__('msvcrt').open_osfhandle(%d, 0)", handle), program, args)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{AdditionalInheritedHandles: []syscall.Handle{syscall.Handle(handle)}}
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM) // the console tells both of them
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := endTogether(uint32(cmd.Process.Pid)); err != nil {
		_ = cmd.Process.Kill()
		return err
	}
	read.Close()
	_, _ = write.WriteString(program + archive) // it may have ended, and says why itself
	write.Close()
	if err := cmd.Wait(); cmd.ProcessState == nil {
		return err
	}
	os.Exit(cmd.ProcessState.ExitCode())
	return nil
}

// endTogether has the system end a process when this one ends or is killed. What that
// process starts goes on, as without this one between.
func endTogether(pid uint32) error {
	job, err := windows.CreateJobObject(nil, nil) // closed by the end of this process
	if err != nil {
		return os.NewSyscallError("CreateJobObject", err)
	}
	var limits windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	limits.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | windows.JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK
	if _, err := windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits))); err != nil {
		return os.NewSyscallError("SetInformationJobObject", err)
	}
	process, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, pid)
	if err != nil {
		return os.NewSyscallError("OpenProcess", err)
	}
	defer windows.CloseHandle(process)
	return os.NewSyscallError("AssignProcessToJobObject", windows.AssignProcessToJobObject(job, process))
}
