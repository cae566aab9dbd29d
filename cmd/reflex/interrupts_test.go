package main

import (
	"os"
	"runtime"
	"syscall"
	"testing"
)

func TestInterrupts(t *testing.T) {
	ended := make(chan int, 1)
	start := func() (*interrupts, chan os.Signal) {
		i := &interrupts{news: make(chan struct{}), finished: make(chan struct{}), abort: func(status int) {
			ended <- status
			runtime.Goexit() // it does not return
		}}
		signals := make(chan os.Signal)
		go i.listen(signals)
		t.Cleanup(func() { close(signals) })
		return i, signals
	}
	t.Run("none", func(t *testing.T) {
		i, _ := start()
		_, _ = i.finish(nil)
		if answer, _ := i.interrupted(nil); len(answer) > 0 || i.signal() != 0 {
			t.Errorf("%q, signal %d", answer, i.signal())
		}
	})
	t.Run("the second ends the process", func(t *testing.T) {
		i, signals := start()
		signals <- syscall.SIGINT
		if answer, _ := i.interrupted(nil); len(answer) == 0 || i.signal() != syscall.SIGINT {
			t.Errorf("%q, signal %d", answer, i.signal())
		}
		signals <- syscall.SIGTERM
		if status := <-ended; status != 143 {
			t.Errorf("ended with %d", status)
		}
	})
}
