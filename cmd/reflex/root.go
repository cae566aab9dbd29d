package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// run runs the command line and returns its exit status.
func run(argv []string, inv *invocation) int {
	inv.program = "reflex db"
	args := inv.arguments(slices.Clone(argv)) // cobra writes into its arguments, and Start may need these
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
	entered   bool   // the directory, by the process that this one replaces

	// again is embedpy.Options.Again.
	again func(argv []string) []string
	// abort ends the process in the middle of a run, at the second Ctrl-C.
	abort func(status int)
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
	if inv.directory == "" || inv.entered {
		return nil
	}
	if err := os.Chdir(inv.directory); err != nil {
		return &usageError{fmt.Errorf("-C: %w", err)}
	}
	return nil
}
