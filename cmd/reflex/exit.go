package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/reflex-dev/reflex-orm/embedpy"
)

// The exit statuses are the driver's contract (pyshim/reflex_driver/exits.py). These are
// for errors before it runs.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitEnvironment = 3 // no usable Python, or one that can't run a line
	exitInterrupted = 130
)

// statusError is how the driver has ended, which it has reported itself.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// usageError is a command line that can't be understood.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// exitStatus is the one place where an error becomes a number.
func exitStatus(err error) int {
	var (
		status  statusError
		usage   *usageError
		python  *embedpy.NotFoundError
		library *embedpy.LibraryError
		raised  *embedpy.Error
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &raised) && raised.Type == "KeyboardInterrupt": // a Ctrl-C at the start
		return exitInterrupted
	case errors.As(err, &python), errors.As(err, &library), errors.As(err, &raised):
		return exitEnvironment
	case errors.As(err, &usage):
		return exitUsage
	}
	return exitFailed
}

// report tells the person at the terminal what happened and what to do next.
func report(stderr io.Writer, err error) {
	var (
		status statusError
		raised *embedpy.Error
	)
	if err == nil || errors.As(err, &status) {
		return
	}
	fmt.Fprintf(stderr, "%s %s\n", paint(stderr, "Error:"), strings.TrimSpace(err.Error()))
	if errors.As(err, &raised) && os.Getenv("PYTHONPATH") != "" {
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
