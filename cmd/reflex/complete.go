package main

import (
	_ "embed"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	reflexorm "github.com/reflex-dev/reflex-orm"
)

// Completion: the shell's script (cobra's) runs `reflex __complete db WORD...` at each
// TAB and shows what that prints. After db it is the driver that answers, in the form of
// cobra's protocol (reflex_driver/completion.py). Where no Python can be asked, the
// answer is what is known without it, and no error is shown.

// completeDB is what may stand in the place of word, after args.
func (inv *invocation) completeDB(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	cmd.SetErr(io.Discard) // cobra would print there what it has answered
	if len(args) > 0 {
		switch last := args[len(args)-1]; last {
		case "-C", "--directory":
			return nil, cobra.ShellCompDirectiveFilterDirs
		case "--python":
			return nil, cobra.ShellCompDirectiveDefault
		}
	}
	if rest, err := inv.take(args); err == nil {
		answer, restore, err := silence()
		if err == nil {
			err = inv.drive(cmd.Context(), append([]string{"__complete", strconv.Itoa(answer), word}, rest...)...)
			if err == nil {
				os.Exit(exitOK) // it has been answered
			}
			restore()
		}
	}
	var known []string
	if len(args) == 0 {
		for line := range strings.Lines(knownCommands()) {
			if strings.HasPrefix(line, word) && line != "\n" {
				known = append(known, strings.TrimSpace(line))
			}
		}
	}
	return known, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// knownCommands are lines of a command, a tab, and its help, after an empty line.
func knownCommands() string {
	return "\n" + reflexorm.Driver()["reflex_driver/commands.txt"]
}

//go:embed complete.bash
var bashWords string

// addCompletion adds cobra's command that prints the scripts. In bash they need a
// function of the package bash-completion, which is not everywhere.
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

// hideRootFlags keeps cobra from offering root's options after `db`, where it can't
// tell whether they stand before Alembic's command.
func hideRootFlags(cmd *cobra.Command) *cobra.Command {
	for _, name := range []string{"directory", "python"} {
		cmd.Flags().String(name, "", "")
		_ = cmd.Flags().MarkHidden(name)
	}
	return cmd
}
