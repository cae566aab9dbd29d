package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"github.com/reflex-dev/reflex-orm/embedpy"
)

// A worker is a process of --each, as its parent sees it (each_worker.go is the
// other side).
type worker struct {
	cmd            *exec.Cmd
	requests       *os.File
	answersFile    *os.File
	answers        *json.Decoder
	stdout, stderr *tap
	served         int // databases
}

// workerProcess is how this program starts itself as a worker, with the
// interpreter that --python names, if any. It has a process
// group of its own: what a terminal sends to its foreground is for the parent,
// which passes it on, once.
func workerProcess(python string) (*exec.Cmd, error) {
	program, words, err := embedpy.Self("reflex", workerCommand, "--python="+python)
	if err != nil {
		return nil, err
	}
	return &exec.Cmd{
		Path: program, Args: words,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}, nil
}

// newWorker starts a process; it has not been asked anything yet.
func newWorker(python string) (w *worker, err error) {
	w = &worker{}
	if w.cmd, err = workerProcess(python); err != nil {
		return nil, err
	}
	var theirs []*os.File
	pipe := func() (read, write *os.File) {
		if err == nil {
			read, write, err = os.Pipe()
		}
		return read, write
	}
	requests, toRequests := pipe()
	fromAnswers, answers := pipe()
	fromStdout, stdout := pipe()
	fromStderr, stderr := pipe()
	theirs = append(theirs, requests, answers, stdout, stderr)
	ours := []*os.File{toRequests, fromAnswers, fromStdout, fromStderr}
	if err == nil {
		w.cmd.Stdout, w.cmd.Stderr, w.cmd.ExtraFiles = stdout, stderr, []*os.File{requests, answers}
		err = w.cmd.Start()
	}
	for _, file := range theirs {
		file.Close()
	}
	if err != nil {
		for _, file := range ours {
			file.Close()
		}
		return nil, fmt.Errorf("starting a worker: %w", err)
	}
	w.requests, w.answersFile, w.answers = toRequests, fromAnswers, json.NewDecoder(fromAnswers)
	w.stdout, w.stderr = newTap(fromStdout), newTap(fromStderr)
	return w, nil
}

// ask sends a request and waits for its answer. The error is a [*deathError] if
// the process ends before that.
func (w *worker) ask(request, answer any) error {
	line, err := json.Marshal(request)
	if err != nil {
		return err
	}
	_, err = w.requests.Write(append(line, '\n'))
	if err == nil {
		err = w.answers.Decode(answer)
	}
	if err != nil {
		return w.end()
	}
	return nil
}

// end lets the process end, and waits for that.
func (w *worker) end() error {
	w.requests.Close()
	_ = w.cmd.Wait()
	w.answersFile.Close()
	return &deathError{w.cmd.ProcessState}
}

// printed is what the process has printed since it was asked for it.
func (w *worker) printed() (stdout, stderr string) { return w.stdout.take(), w.stderr.take() }

// signal passes a signal on. A process that has ended takes none.
func (w *worker) signal(s os.Signal) { _ = w.cmd.Process.Signal(s) }

// A deathError is a worker that has ended in the middle of a database.
type deathError struct{ state *os.ProcessState }

func (e *deathError) Error() string {
	status, ok := e.state.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return fmt.Sprintf("the process ended in the middle of it (%v)", e.state)
	}
	text := fmt.Sprintf("the process was ended by signal %d (%v) in the middle of it", int(status.Signal()), status.Signal())
	if status.Signal() == syscall.SIGKILL {
		text += "; it may have been out of memory"
	}
	return text
}

// keep is how much of what a worker prints for one database is kept, in bytes.
const keep = 1 << 20

// A tap reads what a process prints, as it does, and keeps the end of it.
type tap struct {
	conn syscall.RawConn

	mu   sync.Mutex
	text []byte
	cut  bool
}

func newTap(file *os.File) *tap {
	t := &tap{}
	conn, err := file.SyscallConn()
	if err != nil { // only for a file that is closed
		return t
	}
	t.conn = conn
	go func() {
		defer file.Close()
		_ = conn.Read(t.read)
	}()
	return t
}

// read reads what there is. It reports whether that was all there will be.
func (t *tap) read(fd uintptr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	var buffer [16 << 10]byte
	for {
		n, err := syscall.Read(int(fd), buffer[:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return false
		case err != nil || n == 0:
			return true
		}
		t.text = append(t.text, buffer[:n]...)
		if len(t.text) > 2*keep {
			t.text, t.cut = append(t.text[:0], t.text[len(t.text)-keep:]...), true
		}
	}
}

// take takes what was printed until now. What the process wrote before it
// answered is in the pipe, so that nothing of it is missed.
func (t *tap) take() string {
	if t.conn != nil {
		_ = t.conn.Control(func(fd uintptr) { t.read(fd) }) // an error is that of a closed pipe
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	text := string(t.text)
	if t.cut {
		text = "[...]\n" + text
	}
	t.text, t.cut = nil, false
	return text
}
