package main

import (
	"encoding/json"
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is set by the linker for a build from a checkout.
var release = ""

// version is the release, or what the Go command recorded of the module.
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func newVersionCommand(inv *invocation) *cobra.Command {
	short := false
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say which reflex, Python, Alembic and SQLAlchemy are used",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if short {
				printVersion(cmd)
				return nil
			}
			return printVersions(cmd, inv)
		},
	}
	cmd.Flags().BoolVar(&short, "short", false, "this command's own version only; starts no Python")
	return cmd
}

func printVersion(cmd *cobra.Command) {
	fmt.Fprintf(cmd.OutOrStdout(), "reflex      %s\n", version())
}

func printVersions(cmd *cobra.Command, inv *invocation) error {
	if err := inv.enter(); err != nil {
		return err
	}
	python, interpreter, err := startPython(cmd.Context(), inv, nil)
	printVersion(cmd) // not before: the process may be replaced
	if err != nil {
		return err
	}
	defer interpreter.Close()
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "Python      %s (%s)\n", python.Version, python.Executable)
	if interpreter.Guest() {
		fmt.Fprintln(out, "libpython   not used: this Python has loaded reflex, and not the other way round")
	} else {
		fmt.Fprintf(out, "libpython   %s\n", python.Library)
	}

	answer, err := interpreter.Call(cmd.Context(), driverModule, "versions", nil)
	if err != nil {
		return err
	}
	var packages []struct{ Name, Version string }
	if err := json.Unmarshal(answer, &packages); err != nil {
		return fmt.Errorf("the driver's answer: %w", err)
	}
	for _, p := range packages {
		fmt.Fprintf(out, "%-11s %s\n", p.Name, p.Version)
	}
	return nil
}
