package main

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/reflex-dev/reflex-orm/embedpy"
)

func TestExitStatus(t *testing.T) {
	for want, errs := range map[int][]error{
		0:   {nil},
		1:   {errors.New("anything"), &outcome{Kind: "failed"}, &outcome{Kind: "of a later driver"}},
		2:   {&usageError{errors.New("a flag")}, &outcome{Kind: "usage"}},
		3:   {&outcome{Kind: "environment"}, &embedpy.NotFoundError{}, &embedpy.LibraryError{}, &embedpy.Error{}},
		4:   {&outcome{Kind: "database"}},
		5:   {&outcome{Kind: "locked"}},
		129: {&outcome{Kind: "signal", Signal: int(syscall.SIGHUP)}},
		130: {&outcome{Kind: "signal", Signal: int(syscall.SIGINT)}, &signalError{syscall.SIGINT}},
		143: {&outcome{Kind: "signal", Signal: int(syscall.SIGTERM)}, &signalError{syscall.SIGTERM}},
	} {
		for _, err := range errs {
			if got := exitStatus(err); got != want {
				t.Errorf("%#v: %d, want %d", err, got, want)
			}
			if err == nil {
				continue
			}
			if got := exitStatus(fmt.Errorf("wrapped: %w", err)); got != want {
				t.Errorf("%#v, wrapped: %d, want %d", err, got, want)
			}
		}
	}
}

func TestReport(t *testing.T) {
	for want, err := range map[string]error{
		"":              nil,
		"Error: text\n": errors.New(" text\n"),
		"Error: held\nNext: `reflex-db upgrade`\n": &outcome{Kind: "locked", Message: "held", Hint: "`reflex db upgrade`"},
		"Traceback\nError: x\n":                    &outcome{Message: "x", Traceback: "Traceback\n"},
	} {
		var stderr bytes.Buffer
		report(&stderr, "reflex-db", err)
		if stderr.String() != want {
			t.Errorf("%#v: %q, want %q", err, stderr.String(), want)
		}
	}
	var stderr bytes.Buffer
	report(&stderr, "reflex db", &outcome{Kind: "usage"})
	if stderr.Len() > 0 {
		t.Errorf("argparse has said it, and yet: %q", stderr.String())
	}
}
