package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/reflex-dev/reflex-orm/embedpy"
)

// The exit statuses are a contract; the README and `reflex db --help` state it.
const (
	exitOK          = 0
	exitFailed      = 1 // Alembic or a migration failed
	exitUsage       = 2
	exitEnvironment = 3 // no usable Python, libpython, Alembic or driver
	exitDatabase    = 4 // not reached, or its URL is unset or wrong
	exitLocked      = 5 // another migration holds the lock
	exitSignal      = 128
)

const exitHelp = `Exit status:
  0  done
  1  Alembic or a migration failed
  2  wrong usage
  3  no usable Python, libpython, Alembic or driver
  4  the database could not be reached, or its URL is unset or wrong
  5  another migration holds the lock, and the wait ran out
  129, 130, 143  hung up, interrupted, terminated; the open transaction was rolled back`

// usageError is a command line that can't be understood.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// signalError is a run that ended by a signal before the driver could say so.
type signalError struct{ signal syscall.Signal }

func (e *signalError) Error() string {
	if e.signal == syscall.SIGTERM {
		return "terminated"
	}
	return "interrupted"
}

// outcome is how a run ended, as the driver says it (reflex_driver/failure.py).
// As an error it is one whose Kind is not "ok".
type outcome struct {
	Kind      string `json:"kind"`
	Message   string `json:"message"`
	Hint      string `json:"hint"`
	Traceback string `json:"traceback"`
	Signal    int    `json:"signal"`
}

func (o *outcome) Error() string { return o.Message }

func (o *outcome) status() int {
	switch o.Kind {
	case "usage":
		return exitUsage
	case "environment":
		return exitEnvironment
	case "database":
		return exitDatabase
	case "locked":
		return exitLocked
	case "signal":
		return exitSignal + o.Signal
	}
	return exitFailed
}

// exitStatus is the one place where an error becomes a number.
func exitStatus(err error) int {
	var (
		ended     *outcome
		signalled *signalError
		usage     *usageError
		python    *embedpy.NotFoundError
		library   *embedpy.LibraryError
		raised    *embedpy.Error // the driver raises nothing, so Python is broken
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &signalled):
		return exitSignal + int(signalled.signal)
	case errors.As(err, &python), errors.As(err, &library), errors.As(err, &raised):
		return exitEnvironment
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &ended):
		return ended.status()
	}
	return exitFailed
}

// report tells the person at the terminal what happened and what to do next.
func report(stderr io.Writer, program string, err error) {
	if err == nil {
		return
	}
	var ended *outcome
	if errors.As(err, &ended) {
		if ended.Traceback != "" {
			fmt.Fprintln(stderr, strings.TrimSpace(ended.Traceback))
		}
		if ended.Message == "" { // argparse has said it
			return
		}
	}
	fmt.Fprintf(stderr, "%s %s\n", paint(stderr, "Error:"), strings.TrimSpace(err.Error()))
	var raised *embedpy.Error
	switch {
	case ended != nil && ended.Hint != "":
		fmt.Fprintf(stderr, "Next: %s\n", strings.ReplaceAll(ended.Hint, "reflex db", program))
	case errors.As(err, &raised) && os.Getenv("PYTHONPATH") != "":
		fmt.Fprintln(stderr, "Next: look for a file on PYTHONPATH that has the name of one of Python's own modules")
	}
}

// paint makes text red on a terminal, unless NO_COLOR asks for none.
func paint(w io.Writer, text string) string {
	file, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || !term.IsTerminal(int(file.Fd())) {
		return text
	}
	return "\x1b[31m" + text + "\x1b[0m"
}
