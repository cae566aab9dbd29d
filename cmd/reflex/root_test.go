package main

import (
	"errors"
	"slices"
	"testing"
)

func TestArguments(t *testing.T) {
	for _, c := range []struct{ argv, want []string }{
		{[]string{"reflex"}, []string{}},
		{[]string{"/usr/bin/reflex", "db", "heads"}, []string{"db", "heads"}},
		{[]string{"reflex-db"}, []string{"db"}},
		{[]string{"/venv/bin/reflex-db", "upgrade", "head"}, []string{"db", "upgrade", "head"}},
		{[]string{"reflex-db", "version"}, []string{"version"}},
	} {
		inv := &invocation{program: "reflex db"}
		if got := inv.arguments(c.argv); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.argv, got, c.want)
		}
	}
}

func TestTake(t *testing.T) {
	for _, c := range []struct {
		args, rest        []string
		directory, python string
	}{
		{args: []string{"upgrade", "-C", "x"}, rest: []string{"upgrade", "-C", "x"}},
		{args: []string{"-C", "dir", "--python=py", "-c", "f", "heads"}, rest: []string{"-c", "f", "heads"}, directory: "dir", python: "py"},
		{args: []string{"--directory=a=b"}, rest: []string{}, directory: "a=b"},
		{args: []string{"-C="}, rest: []string{}},
	} {
		inv := &invocation{}
		rest, err := inv.take(c.args)
		if err != nil || !slices.Equal(rest, c.rest) || inv.directory != c.directory || inv.python != c.python {
			t.Errorf("%q: %q, %v, directory %q, python %q", c.args, rest, err, inv.directory, inv.python)
		}
	}
	var usage *usageError
	if _, err := (&invocation{}).take([]string{"--python"}); !errors.As(err, &usage) {
		t.Errorf("a value is missing, and the error is %v", err)
	}
}

func TestEnter(t *testing.T) {
	t.Chdir(t.TempDir())
	var usage *usageError
	if err := (&invocation{directory: "missing"}).enter(); !errors.As(err, &usage) {
		t.Errorf("there is no such directory, and the error is %v", err)
	}
	if err := (&invocation{}).enter(); err != nil {
		t.Error(err)
	}
}

// Of the shell's question only the words after db are the driver's.
func TestArgumentsOfCompletion(t *testing.T) {
	for _, c := range []struct{ argv, want []string }{
		{[]string{"reflex", "__complete", "db", "up"}, []string{"__complete", "db", "up"}},
		{[]string{"reflex-db", "__complete", "up"}, []string{"__complete", "db", "up"}},
		{[]string{"reflex-db", "__completeNoDesc", "upgrade", ""}, []string{"__completeNoDesc", "db", "upgrade", ""}},
		{[]string{"reflex-db", "__complete", "completion", ""}, []string{"__complete", "completion", ""}},
		{[]string{"reflex-db", "completion", "bash"}, []string{"completion", "bash"}},
	} {
		inv := &invocation{}
		if got := inv.arguments(c.argv); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.argv, got, c.want)
		}
	}
}
