package embedpy

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/reflex-dev/reflex-orm/embedpy/capi"
)

// ended are the signals that end what Python does.
var ended = []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}

// signals tells Go of the signals that end what Python does. Their handler, in
// package capi, writes the number of each to a pipe, whatever Python is doing.
// Python's own means for that, signal.set_wakeup_fd, is left to the program.
type signals struct {
	channel     chan os.Signal
	read, write int
	finished    chan struct{}
}

// Signals returns a channel with each SIGINT, SIGTERM and SIGHUP since the start
// that ends what Python does.
//
// They raise KeyboardInterrupt, SystemExit(143) and SystemExit(129) in Python's
// main thread, at once or when the next call begins. The channel is for Go code
// that has to know too, on another goroutine. There is one channel, and a signal
// that finds it full (16) is dropped. Use it in place of [os/signal], whose
// Notify would take the signals away from Python.
//
// A signal that was ignored when the process was started stays ignored, one for
// which the Python program sets a handler of its own is the program's, and a
// child that the program forks has those of any Python program.
func (in *Interpreter) Signals() <-chan os.Signal { return in.signals.channel }

// handledSignals lists the signals that Python is to handle. What was ignored
// when the process was started stays ignored: nohup, background jobs.
func handledSignals() []syscall.Signal {
	var handled []syscall.Signal
	for _, sig := range ended {
		if !capi.IgnoredAtStart(sig) {
			handled = append(handled, sig)
		}
	}
	return handled
}

// listen opens the pipe.
func (s *signals) listen() error {
	var ends [2]int
	if err := syscall.Pipe(ends[:]); err != nil {
		return fmt.Errorf("embedpy: a pipe for signals: %w", err)
	}
	s.read, s.write = capi.OutOfTheWay(ends[0]), capi.OutOfTheWay(ends[1])
	if err := syscall.SetNonblock(s.write, true); err != nil { // a signal handler must not wait
		return err
	}
	s.channel = make(chan os.Signal, 16)
	s.finished = make(chan struct{})
	go s.forward()
	return nil
}

// forward ends with a 0, which is no signal's number.
func (s *signals) forward() {
	defer close(s.finished)
	var buffer [16]byte
	for {
		n, err := syscall.Read(s.read, buffer[:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return
		}
		for _, number := range buffer[:n] {
			if number == 0 {
				return
			}
			wake()
			select {
			case s.channel <- syscall.Signal(number):
			default:
			}
		}
	}
}

// wake sees to it that the main thread hears of a signal now. One that comes
// when a wait is about to begin does not end it: so wake asks a few times.
func wake() {
	for _, delay := range []time.Duration{0, 10 * time.Millisecond, 100 * time.Millisecond, time.Second} {
		time.AfterFunc(delay, capi.Wake)
	}
}

// interrupt raises KeyboardInterrupt in Python.
func interrupt() {
	capi.Interrupt()
	wake()
}

func (s *signals) close() {
	_, _ = syscall.Write(s.write, []byte{0})
	<-s.finished
	syscall.Close(s.read)
}
