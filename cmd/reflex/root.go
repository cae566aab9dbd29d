package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// Main runs the command line and returns its exit status. It calls abort only
// to end the process in the middle of a run, at the second Ctrl-C.
func Main(argv []string, abort func(status int)) int {
	inv := &invocation{program: "reflex db", abort: abort}
	args := inv.arguments(argv)
	root := newRootCommand(inv)
	root.SetArgs(args)
	err := root.Execute()
	report(os.Stderr, inv.program, err)
	return exitStatus(err)
}

// invocation is how the command was called.
type invocation struct {
	program   string // what a user types for `reflex db`
	directory string // of -C; "" is the current one
	python    string // of --python; "" is to be found
	abort     func(status int)
}

// arguments are those of root. Called as reflex-db, the name under which the
// Python package installs it, the command is `reflex db`.
func (inv *invocation) arguments(argv []string) []string {
	if filepath.Base(argv[0]) != "reflex-db" {
		return argv[1:]
	}
	inv.program = "reflex-db"
	if args, ok := completionArguments(argv[1:]); ok {
		return args
	}
	if len(argv) > 1 && argv[1] == "version" { // which Alembic does not have
		return argv[1:]
	}
	return append([]string{"db"}, argv[1:]...)
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
	root.AddCommand(newDBCommand(inv), newVersionCommand(inv), newWorkerCommand(inv))
	addCompletion(root)
	return root
}

// noArgs is cobra.NoArgs as wrong usage.
func noArgs(cmd *cobra.Command, args []string) error {
	err := cobra.NoArgs(cmd, args)
	if err == nil {
		return nil
	}
	for _, c := range dbCommands {
		if c.name == args[0] {
			return &usageError{fmt.Errorf("%w; is it `reflex db %s`?", err, c.name)}
		}
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
