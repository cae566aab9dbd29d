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
	root := newRootCommand(&location{abort: abort})
	root.SetArgs(arguments(argv))
	err := root.Execute()
	report(os.Stderr, err)
	return exitStatus(err)
}

// arguments are those of root: called as reflex-db, the name under which the
// Python package installs it, the command is `reflex db`.
func arguments(argv []string) []string {
	if strings.TrimSuffix(filepath.Base(argv[0]), ".exe") == "reflex-db" {
		return append([]string{"db"}, argv[1:]...)
	}
	return argv[1:]
}

// location says where to run, and in which Python.
type location struct {
	directory string // of -C; "" is the current one
	python    string // of --python; "" is to be found
	abort     func(status int)
}

func newRootCommand(where *location) *cobra.Command {
	root := &cobra.Command{
		Use:   "reflex",
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
	root.PersistentFlags().StringVarP(&where.directory, "directory", "C", "", "run in `DIR` instead of here")
	root.PersistentFlags().StringVar(&where.python, "python", "", "the interpreter, or its environment's directory")
	root.AddCommand(newDBCommand(where), newVersionCommand(where))
	return root
}

// noArgs is cobra.NoArgs as wrong usage.
func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return &usageError{err}
	}
	return nil
}

// enter changes to the directory that -C names.
func (w *location) enter() error {
	if w.directory == "" {
		return nil
	}
	if err := os.Chdir(w.directory); err != nil {
		return &usageError{fmt.Errorf("-C: %w", err)}
	}
	return nil
}
