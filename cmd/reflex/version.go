package main

import (
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
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%-11s %s\n", "reflex", version())
				return err
			}
			return inv.drive(cmd.Context(), "version")
		},
	}
	cmd.Flags().BoolVar(&short, "short", false, "this command's own version only; starts no Python")
	return cmd
}
