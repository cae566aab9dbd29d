package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	reflexorm "github.com/reflex-dev/reflex-orm"
)

// Completion: the shell's script (cobra's) runs `reflex __complete db WORD...`
// at each TAB and shows what that prints. The project's own Alembic is asked
// (reflex_driver/completion.py); where it can't be, what is known without it is
// the answer, and nothing is said of why.

// completionLimit is for a project that does not end being imported.
const completionLimit = 5 * time.Second

// completion is what the driver answers.
type completion struct {
	Candidates [][2]string `json:"candidates"` // a word, and what is to be said of it
	Files      string      `json:"files"`      // what of the file system fits: "", files, directories
}

// completeDB is what may stand in the place of word, after args.
func (inv *invocation) completeDB(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	cmd.SetErr(io.Discard) // to which cobra would say what it has answered
	if len(args) > 0 {
		if directive, ours := ownOptions[args[len(args)-1]]; ours {
			return nil, directive
		}
	}
	each, rest, err := takeEach(args)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if rest, err = inv.take(rest); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	found, err := inv.askDriver(cmd.Context(), rest, word)
	if err != nil {
		found = completion{}
	}
	if len(rest) == 0 {
		found.Candidates = append(found.Candidates, inv.verbs(word)...)
	}
	if each != nil {
		found.Candidates = append(found.Candidates, beginning(word, eachCandidates[1:])...)
	} else if strings.HasPrefix(word, "--") {
		found.Candidates = append(found.Candidates, beginning(word, eachCandidates[:1])...)
	}
	known := map[string]string{}
	for _, c := range dbCommands {
		known[c.name] = c.help
	}
	seen, lines := map[string]bool{}, []string{}
	for _, c := range found.Candidates {
		name, help := c[0], c[1]
		if len(rest) == 0 && known[name] != "" { // shorter than Alembic's
			help = known[name]
		}
		if !seen[name] {
			lines = append(lines, name+"\t"+help)
		}
		seen[name] = true
	}
	switch {
	case found.Files == "directories":
		return lines, cobra.ShellCompDirectiveFilterDirs
	case found.Files == "files":
		return lines, cobra.ShellCompDirectiveDefault
	}
	return lines, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// verbs are what may stand right after db, as far as that is known without Alembic.
func (inv *invocation) verbs(word string) [][2]string {
	if strings.HasPrefix(word, "-") {
		return beginning(word, [][2]string{
			{"-C", "run in this directory instead of here"},
			{"--directory", "run in this directory instead of here"},
			{"--python", "the interpreter, or its environment's directory"},
			{"--each", "run the command on each database of this file"},
		})
	}
	var all [][2]string
	for _, c := range dbCommands {
		all = append(all, [2]string{c.name, c.help})
	}
	if inv.program == "reflex-db" {
		all = append(all, [2]string{"version", "say which Python, Alembic and SQLAlchemy are used"},
			[2]string{"completion", "print the script for a shell's completion"})
	}
	return beginning(word, all)
}

// beginning are the candidates that begin with word.
func beginning(word string, all [][2]string) [][2]string {
	return slices.DeleteFunc(slices.Clone(all), func(c [2]string) bool { return !strings.HasPrefix(c[0], word) })
}

// ownOptions are those that Alembic does not see, and what of the file system
// their values are.
var ownOptions = map[string]cobra.ShellCompDirective{
	"-C": cobra.ShellCompDirectiveFilterDirs, "--directory": cobra.ShellCompDirectiveFilterDirs,
	"--python": cobra.ShellCompDirectiveDefault,
	"--each":   cobra.ShellCompDirectiveDefault, "--failed": cobra.ShellCompDirectiveDefault,
	"--report": cobra.ShellCompDirectiveDefault, "--jobs": cobra.ShellCompDirectiveNoFileComp,
	"--first": cobra.ShellCompDirectiveNoFileComp, "--shard": cobra.ShellCompDirectiveNoFileComp,
}

// askDriver starts Python and asks. It does not stop it: the process ends next.
func (inv *invocation) askDriver(ctx context.Context, args []string, word string) (completion, error) {
	var found completion
	dumpNoCore()
	if err := inv.enter(); err != nil {
		return found, err
	}
	question, err := json.Marshal(struct {
		request
		Word string `json:"word"`
	}{request{Program: inv.program, Version: version(), Argv: args, INI: reflexorm.AlembicINI}, word})
	if err != nil {
		return found, err
	}
	restore, err := silence()
	if err != nil {
		return found, err
	}
	defer restore()
	inv.again = func(argv []string) []string { restore(); return argv }
	timer := time.AfterFunc(completionLimit, func() { inv.abort(exitOK) })
	defer timer.Stop()
	_, python, err := startPython(ctx, inv, args)
	if err != nil {
		return found, err
	}
	answer, err := python.Call(ctx, driverModule+".completion", "complete", question)
	if err != nil {
		return found, err
	}
	return found, json.Unmarshal(answer, &found)
}

// silence leads the process's stdout and stderr to nowhere until the function
// that it returns is called: sitecustomize.py prints, and so do libraries in C.
func silence() (restore func(), err error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	kept := map[int]int{}
	restore = func() {
		for fd, copy := range kept {
			_ = unix.Dup2(copy, fd)
			_ = unix.Close(copy)
		}
	}
	for _, fd := range []int{1, 2} {
		copy, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			restore()
			return nil, err
		}
		kept[fd] = copy
		if err := unix.Dup2(int(null.Fd()), fd); err != nil {
			restore()
			return nil, err
		}
	}
	return restore, nil
}

//go:embed complete.bash
var bashWords string

// addCompletion adds cobra's command that prints the scripts. In bash they need
// a function of the package bash-completion, which is not everywhere.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	bash, _, err := root.Find([]string{"completion", "bash"})
	if err != nil {
		return
	}
	script := bash.RunE
	bash.RunE = func(cmd *cobra.Command, args []string) error {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), bashWords); err != nil {
			return err
		}
		return script(cmd, args)
	}
}

// hideRootFlags keeps cobra from offering root's options after `db`, where it
// can't tell whether they stand before Alembic's command.
func hideRootFlags(cmd *cobra.Command) *cobra.Command {
	for _, name := range []string{"directory", "python"} {
		cmd.Flags().String(name, "", "")
		_ = cmd.Flags().MarkHidden(name)
	}
	return cmd
}

// completionArguments are root's, if args, those of reflex-db, are about completion.
func completionArguments(args []string) ([]string, bool) {
	if len(args) == 0 {
		return nil, false
	}
	switch args[0] {
	case "completion":
		return args, true
	case cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd:
		if len(args) > 2 && (args[1] == "completion" || args[1] == "version") {
			return args, true
		}
		return append([]string{args[0], "db"}, args[1:]...), true
	}
	return nil, false
}
