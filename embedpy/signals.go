package embedpy

import (
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/reflex-dev/reflex-orm/embedpy/capi"
)

// signals tells Go of the signals that Python handles. Python writes the number
// of each to a pipe (signal.set_wakeup_fd), whatever it is doing.
type signals struct {
	channel chan os.Signal
	pipe    *os.File
	wakeup  int          // the end of the pipe that Python writes to
	own     atomic.Int32 // SIGINTs that interrupt sent, which are nobody's news
}

// Signals returns a channel with each SIGINT and SIGTERM since the start.
//
// Python has taken these signals over: they raise KeyboardInterrupt and
// SystemExit(143) in its main thread, at once or when the next call begins. The
// channel is for Go code that has to know too, on another goroutine. There is
// one channel, and a signal that finds it full (16) is dropped. Use it in place
// of [os/signal], whose Notify would take the signals away from Python.
//
// A signal that was ignored when the process was started stays ignored.
func (in *Interpreter) Signals() <-chan os.Signal { return in.signals.channel }

// handledSignals lists the signals that Python is to handle. What was ignored
// when the process was started stays ignored: nohup, background jobs.
func handledSignals() []syscall.Signal {
	var handled []syscall.Signal
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		if capi.IgnoredAtStart(sig) {
			capi.Ignore(sig)
		} else {
			handled = append(handled, sig)
		}
	}
	return handled
}

// listen returns the file descriptor that Python is to write to.
func (s *signals) listen() (wakeup int, err error) {
	var ends [2]int
	syscall.ForkLock.RLock()
	err = syscall.Pipe(ends[:])
	if err == nil {
		syscall.CloseOnExec(ends[0])
		syscall.CloseOnExec(ends[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return 0, err
	}
	for _, end := range ends { // a signal handler must not wait
		if err := syscall.SetNonblock(end, true); err != nil {
			return 0, err
		}
	}
	s.channel = make(chan os.Signal, 16)
	s.pipe, s.wakeup = os.NewFile(uintptr(ends[0]), "signals"), ends[1]
	go s.forward()
	return s.wakeup, nil
}

func (s *signals) forward() {
	var buffer [16]byte
	for {
		n, err := s.pipe.Read(buffer[:])
		if err != nil { // closed
			return
		}
		for _, number := range buffer[:n] {
			wake()
			sig := syscall.Signal(number)
			if sig == syscall.SIGINT && s.own.Load() > 0 {
				s.own.Add(-1)
				continue
			}
			select {
			case s.channel <- sig:
			default:
			}
		}
	}
}

// wake sees to it that the main thread hears of a signal now. A signal that comes
// when a wait is about to begin does not end it: so wake asks a few times.
func wake() {
	for _, delay := range []time.Duration{0, 10 * time.Millisecond, 100 * time.Millisecond, time.Second} {
		time.AfterFunc(delay, capi.Wake)
	}
}

// interrupt raises KeyboardInterrupt in Python.
func (s *signals) interrupt() {
	if !capi.IgnoredAtStart(syscall.SIGINT) {
		s.own.Add(1)
	}
	capi.Interrupt()
}

func (s *signals) close() {
	s.pipe.Close()
	syscall.Close(s.wakeup)
}
