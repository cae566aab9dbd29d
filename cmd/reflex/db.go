package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	reflexorm "github.com/reflex-dev/reflex-orm"
	"github.com/reflex-dev/reflex-orm/embedpy"
)

func newDBCommand(inv *invocation) *cobra.Command {
	cmd := hideRootFlags(&cobra.Command{
		Use:   "db [Alembic's options] COMMAND [ARG...]",
		Short: "Run Alembic: init, revision, upgrade, history, ...",
		// Alembic parses its own command line, so that every option of the
		// installed version works.
		DisableFlagParsing: true,
		ValidArgsFunction:  inv.completeDB,
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := inv.take(args)
			if err != nil {
				return err
			}
			return inv.drive(cmd.Context(), args...)
		},
	})
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) { // reflex help db
		err := inv.drive(cmd.Context(), "help")
		report(os.Stderr, err)
		os.Exit(exitStatus(err))
	})
	return cmd
}

// take obeys the options of root that stand between db and the command, and returns the
// other arguments, which are Alembic's. They are taken here because they choose the Python
// that parses the rest, and because reflex-db has no other place for them.
func (inv *invocation) take(args []string) (rest []string, err error) {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && args[0] != "--" {
		target, value, joined := inv.option(args[0])
		switch {
		case target == nil && slices.Contains(withValue, args[0]) && len(args) > 1:
			rest, args = append(rest, args[:2]...), args[2:]
			continue
		case target == nil:
			rest, args = append(rest, args[0]), args[1:]
			continue
		case !joined && len(args) == 1:
			return nil, &usageError{fmt.Errorf("%s needs a value", args[0])}
		case !joined:
			value, args = args[1], args[1:]
		}
		*target, args = value, args[1:]
	}
	return append(rest, args...), nil
}

// withValue are the options before the command that take one and are not ours to read;
// those of with_value in options.py.
var withValue = []string{
	"-c", "--config", "-n", "--name", "-x", "--env-file", "--log-format",
	"--each", "--jobs", "--first", "--failed", "--report", "--shard",
}

// option is where the value of an option of root goes, nil for any other, and the
// value that is joined to it: -CDIR, --python=PATH.
func (inv *invocation) option(arg string) (target *string, value string, joined bool) {
	if short, ok := strings.CutPrefix(arg, "-C"); ok {
		return &inv.directory, strings.TrimPrefix(short, "="), short != ""
	}
	name, value, joined := strings.Cut(arg, "=")
	switch name {
	case "--directory":
		return &inv.directory, value, joined
	case "--python":
		return &inv.python, value, joined
	}
	return nil, "", false
}

// drive runs the driver in the project's Python, in this process. Where that Python uses no
// libpython, or this program can't load one, this process becomes it. The error is a
// [statusError] if the driver ran: it has reported how it ended.
func (inv *invocation) drive(ctx context.Context, args ...string) error {
	if err := inv.enter(); err != nil {
		return err
	}
	python, err := embedpy.Find(ctx, embedpy.FindOptions{Explicit: inv.python})
	if err != nil {
		return err
	}
	for _, passed := range python.Passed {
		fmt.Fprintln(os.Stderr, passed.Path, passed.Reason)
	}
	reason := embedpy.CannotStart(python)
	if reason != "" {
		args = append([]string{inv.program, version(), "not used: this process is Python itself, because " + reason}, args...)
		return embedpy.Become(python, reflexorm.Driver(), "reflex_driver", "main", args...)
	}
	args = append([]string{inv.program, version(), python.Library + ", which this Python uses too"}, args...)
	interpreter, err := embedpy.Start(python, reflexorm.Driver())
	if err != nil {
		return err
	}
	status, err := interpreter.Call("reflex_driver", "main", args...)
	if closed := interpreter.Close(); err == nil && status == exitOK {
		err = closed
	}
	if err == nil && status != exitOK {
		return statusError(status)
	}
	return err
}
