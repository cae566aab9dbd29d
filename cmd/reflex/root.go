package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// run runs the command line and returns its exit status.
func run(argv []string) int {
	inv := &invocation{program: "reflex db"}
	args := inv.arguments(argv)
	root := newRootCommand(inv)
	root.SetArgs(args)
	out := &output{}
	root.SetOut(out)
	err := root.Execute()
	if err == nil && out.err != nil {
		err = fmt.Errorf("what was printed could not be written: %w", out.err)
	}
	report(os.Stderr, err)
	return exitStatus(err)
}

// output is stdout, and the first error of writing it, which cobra's help forgets. A
// reader that has gone has read enough.
type output struct{ err error }

func (o *output) Write(b []byte) (int, error) {
	n, err := os.Stdout.Write(b)
	if o.err == nil && !errors.Is(err, syscall.EPIPE) {
		o.err = err
	}
	return n, err
}

// invocation is how the command was called.
type invocation struct {
	program   string // what a user types for `reflex db`
	directory string // of -C; "" is the current one
	python    string // of --python; "" is to be found
}

// arguments are those of root. Called as reflex-db, the name under which the Python
// package installs it, the command is `reflex db`.
func (inv *invocation) arguments(argv []string) []string {
	if strings.TrimSuffix(filepath.Base(argv[0]), ".exe") != "reflex-db" {
		return argv[1:]
	}
	inv.program = "reflex-db"
	args := argv[1:]
	if len(args) == 0 {
		return []string{"db"}
	}
	switch args[0] {
	case "completion", "version": // which Alembic does not have
		return args
	case cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd:
		if len(args) > 2 && args[1] == "completion" {
			return args
		}
		return append([]string{args[0], "db"}, args[1:]...)
	}
	return append([]string{"db"}, args...)
}

func newRootCommand(inv *invocation) *cobra.Command {
	root := &cobra.Command{
		Use:   strings.Fields(inv.program)[0],
		Short: "Database migrations by Alembic, in your project's own Python",
		Long: `Database migrations by Alembic, in your project's own Python.

REFLEX_DB_URL names the database, as a SQLAlchemy URL:

  export REFLEX_DB_URL=postgresql+psycopg://user:password@localhost/shop
  reflex db init --models shop.models:Base
  reflex db revision --autogenerate -m "first tables"
  reflex db upgrade head`,
		Version:          version(),
		SilenceErrors:    true,
		SilenceUsage:     true,
		TraverseChildren: true,
		Args:             noArgs,
		RunE:             func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.PersistentFlags().StringVarP(&inv.directory, "directory", "C", "", "run in `DIR` instead of here")
	root.PersistentFlags().StringVar(&inv.python, "python", "", "the interpreter, or its environment's directory")
	root.AddCommand(newDBCommand(inv), newVersionCommand(inv))
	addCompletion(root)
	return root
}

// noArgs is cobra.NoArgs as wrong usage.
func noArgs(cmd *cobra.Command, args []string) error {
	err := cobra.NoArgs(cmd, args)
	if err == nil {
		return nil
	}
	if strings.Contains(knownCommands(), "\n"+args[0]+"\t") {
		err = fmt.Errorf("%w; is it `reflex db %s`?", err, args[0])
	}
	return &usageError{err}
}

// enter changes to the directory that -C names.
func (inv *invocation) enter() error {
	if inv.directory == "" {
		return nil
	}
	if err := os.Chdir(inv.directory); err != nil {
		return &usageError{fmt.Errorf("-C: %w", err)}
	}
	return nil
}
