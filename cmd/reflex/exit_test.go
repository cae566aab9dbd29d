package main

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/reflex-dev/reflex-orm/embedpy"
)

func TestExitStatus(t *testing.T) {
	for want, errs := range map[int][]error{
		0:   {nil},
		1:   {errors.New("anything"), statusError(1)},
		2:   {&usageError{errors.New("a flag")}, statusError(2)},
		3:   {&embedpy.NotFoundError{}, &embedpy.LibraryError{Python: &embedpy.Python{}}, &embedpy.Error{Type: "ImportError"}, statusError(3)},
		5:   {statusError(5)},
		130: {&embedpy.Error{Type: "KeyboardInterrupt"}, statusError(130)},
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
	const next = "Next: look for a file on PYTHONPATH that has the name of one of Python's own modules\n"
	for _, c := range []struct {
		err        error
		pythonpath string
		want       string
	}{
		{nil, "", ""},
		{statusError(4), "", ""}, // the driver has said it
		{errors.New(" text\n"), "/x", "Error: text\n"},
		{&embedpy.Error{Type: "ImportError", Message: "no"}, "", "Error: ImportError: no\n"},
		{&embedpy.Error{Type: "ImportError", Message: "no"}, "/x", "Error: ImportError: no\n" + next},
	} {
		t.Setenv("PYTHONPATH", c.pythonpath)
		var stderr bytes.Buffer
		report(&stderr, c.err)
		if stderr.String() != c.want {
			t.Errorf("%#v: %q, want %q", c.err, stderr.String(), c.want)
		}
	}
}
