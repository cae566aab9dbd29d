package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	reflexorm "github.com/reflex-dev/reflex-orm"
	"github.com/reflex-dev/reflex-orm/embedpy"
)

// driverModule is the Python package that runs Alembic.
const driverModule = "reflex_driver"

// dbCommands are Alembic's commands and ours, for the help and for completion.
// They are not what is accepted: that is up to the Alembic of the project.
var dbCommands = []struct{ name, help string }{
	{"init", "start: write alembic.ini and a script directory"},
	{"revision", "write a new revision; --autogenerate fills it from the models"},
	{"makemigrations", "revision --autogenerate"},
	{"upgrade", "apply revisions, up to the one named; head is the last"},
	{"migrate", "upgrade head"},
	{"downgrade", "take revisions back, down to the one named; -1 is one step"},
	{"status", "show what is applied, what is pending and who migrates; --check, --wait, --json"},
	{"current", "show the revision that the database is at"},
	{"history", "list the revisions, in order"},
	{"heads", "show the last revision of each branch"},
	{"branches", "show where branches part"},
	{"check", "fail if the models differ from the database"},
	{"show", "show one revision"},
	{"edit", "open a revision in $EDITOR"},
	{"merge", "join two heads with a new revision"},
	{"stamp", "set the database's revision without running any"},
	{"ensure_version", "make the version table"},
	{"list_templates", "list Alembic's templates for init"},
}

func newDBCommand(inv *invocation) *cobra.Command {
	return hideRootFlags(&cobra.Command{
		Use:   "db [Alembic's options] COMMAND [ARG...]",
		Short: "Run Alembic: init, revision, upgrade, history, ...",
		Long:  dbHelp(),
		// Alembic parses its own command line, so that every option of the
		// installed version works.
		DisableFlagParsing: true,
		ValidArgsFunction:  inv.completeDB,
		RunE: func(cmd *cobra.Command, args []string) error {
			each, args, err := takeEach(args)
			if err != nil {
				return err
			}
			if args, err = inv.take(args); err != nil {
				return err
			}
			if len(args) > 1 && args[0] == "help" {
				args = []string{args[1], "--help"}
			}
			if len(args) == 0 || args[0] == "-h" || args[0] == "--help" || args[0] == "help" {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), strings.ReplaceAll(dbHelp(), "reflex db", inv.program))
				return err
			}
			if each != nil {
				return runEach(inv, each, args)
			}
			return runDB(cmd.Context(), inv, args)
		},
	})
}

// take takes the options of root out of those that stand between db and the
// command; the others there are Alembic's. reflex-db has no other place for them.
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

// withValue are Alembic's options before the command that take one.
var withValue = []string{"-c", "--config", "-n", "--name", "-x"}

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

func dbHelp() string {
	var b strings.Builder
	b.WriteString(`Run Alembic in the project's own Python, on the database that REFLEX_DB_URL names.

Usage:
  reflex db [-c FILE] [-n NAME] [-x ARG] [--raiseerr] [-q] COMMAND [ARG...]

Commands:
`)
	for _, c := range dbCommands {
		fmt.Fprintf(&b, "  %-15s %s\n", c.name, c.help)
	}
	b.WriteString(`
Any other command of the Alembic that is installed works as well.
"reflex db COMMAND --help" is the help of that command, with all its options;
so is "reflex db help COMMAND".

Options before the command are Alembic's own (-c, -n, -x, --raiseerr, -q), and
  -C, --directory DIR   run in DIR instead of here
      --python PATH     the interpreter, or its environment's directory
      --traceback       show the whole traceback of an error
` + eachHelp + `
Environment:
  REFLEX_DB_URL         the database, as a SQLAlchemy URL
  REFLEX_DB_LOCK_URL    a direct connection for the lock, where that goes through a pooler
  REFLEX_PYTHON         the interpreter

` + exitHelp)
	return b.String()
}

// request is what the driver's main takes (reflex_driver/__init__.py).
type request struct {
	Program   string            `json:"program"` // as the help is to name it
	Version   string            `json:"version"` // this command's
	Argv      arguments         `json:"argv"`
	INI       string            `json:"ini"`
	Templates map[string]string `json:"templates"`
}

// runDB runs one of Alembic's commands and returns how it ended.
func runDB(ctx context.Context, inv *invocation, args []string) error {
	dumpNoCore()
	if err := inv.enter(); err != nil {
		return err
	}
	templates, err := readAll(reflexorm.Templates())
	if err != nil {
		return err
	}
	question, err := json.Marshal(request{Program: inv.program, Version: version(), Argv: args, INI: reflexorm.AlembicINI, Templates: templates})
	if err != nil {
		return err
	}
	_, python, err := startPython(ctx, inv, args)
	if err != nil {
		return err
	}
	signals, err := listenToSignals(python, inv.abort)
	if err != nil {
		return err
	}
	answer, err := python.Call(ctx, driverModule, "main", question)
	closed := python.Close()
	if err != nil {
		if signal := signals.signal(); signal != 0 { // in the driver's last lines
			return &signalError{signal}
		}
		return err
	}
	var ended outcome
	if err := json.Unmarshal(answer, &ended); err != nil {
		return fmt.Errorf("the driver's answer: %w", err)
	}
	switch ended.Kind {
	case "ok":
		return closed
	case "pipe":
		return nil // whoever read our output has seen enough
	}
	return &ended
}

// startPython finds the project's interpreter and starts it in this process.
func startPython(ctx context.Context, inv *invocation, args []string) (*embedpy.Python, *embedpy.Interpreter, error) {
	python, err := embedpy.Find(ctx, embedpy.FindOptions{Explicit: inv.python})
	if err != nil {
		return nil, nil, err
	}
	interpreter, err := embedpy.Start(python, embedpy.Options{
		Argv:    append([]string{inv.program}, args...),
		Modules: reflexorm.Driver(),
		Guest:   guest,
		Again:   inv.again,
	})
	if err != nil {
		return nil, nil, err
	}
	return python, interpreter, nil
}

func readAll(tree fs.FS) (map[string]string, error) {
	files := map[string]string{}
	err := fs.WalkDir(tree, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(tree, path)
		files[path] = string(text)
		return err
	})
	return files, err
}
