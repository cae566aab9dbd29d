package main

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/reflex-dev/reflex-orm/embedpy"
)

// interrupts is the Go side of reflex_driver/interrupts.py. It works without
// the GIL, so it hears of a signal whatever Python is doing, and ends the
// process at the second one.
type interrupts struct {
	news  chan struct{}    // closed by the first signal
	abort func(status int) // ends the process

	mu       sync.Mutex
	finished chan struct{} // closed at the end of the run
	first    syscall.Signal
}

// listenToSignals defines the functions of the Python module _reflex.
func listenToSignals(python *embedpy.Interpreter, abort func(status int)) (*interrupts, error) {
	i := &interrupts{news: make(chan struct{}), finished: make(chan struct{}), abort: abort}
	for name, f := range map[string]func([]byte) ([]byte, error){
		"interrupted": i.interrupted,
		"finish":      i.finish,
		"abandon":     i.abandon,
	} {
		if err := python.Define(name, f); err != nil {
			return nil, err
		}
	}
	go i.listen(python.Signals())
	return i, nil
}

func (i *interrupts) listen(signals <-chan os.Signal) {
	for s := range signals {
		number, ok := s.(syscall.Signal)
		if !ok {
			continue
		}
		if i.signal() != 0 {
			i.abort(exitSignal + int(number))
		}
		i.mu.Lock()
		i.first = number
		i.mu.Unlock()
		close(i.news)
	}
}

// interrupted waits for the first signal; the answer is "" once the run is over.
func (i *interrupts) interrupted([]byte) ([]byte, error) {
	i.mu.Lock()
	finished := i.finished
	i.mu.Unlock()
	select {
	case <-i.news:
		return []byte("signal"), nil
	case <-finished:
		return nil, nil
	}
}

// begin begins another run, once the one before it has finished.
func (i *interrupts) begin() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.finished = make(chan struct{})
}

func (i *interrupts) finish([]byte) ([]byte, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	close(i.finished)
	return nil, nil
}

// abandon ends the process, which a signal has not ended.
func (i *interrupts) abandon([]byte) ([]byte, error) {
	err := &signalError{i.signal()}
	fmt.Fprintf(os.Stderr, "%s %v\n", paint(os.Stderr, "Error:"), err)
	i.abort(exitStatus(err))
	return nil, nil
}

// signal is the signal that came during the run, or 0.
func (i *interrupts) signal() syscall.Signal {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.first
}
