// Command install builds the command reflex and puts it where `go install` puts programs:
//
//	go run github.com/reflex-dev/reflex-orm/install@latest
//
// Its arguments are flags of `go install`. A bare `go install` of cmd/reflex stops at the
// binding of Python, which asks pkg-config where Python.h is: the answer has to be the
// header in embedpy/capi, and the Go command has no way to give it.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
)

const module = "github.com/reflex-dev/reflex-orm"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// run installs the version of cmd/reflex that this program has.
func run(flags []string) error {
	info, ok := debug.ReadBuildInfo()
	if !ok || !strings.HasPrefix(info.Main.Version, "v") || strings.HasSuffix(info.Main.Version, "+dirty") {
		return errors.New("this program is of a clone: `make build` makes bin/reflex there")
	}
	header, err := headerOf(info.Main.Version)
	if err != nil {
		return err
	}
	cflags, err := output("go", "env", "CGO_CFLAGS")
	if err != nil {
		return err
	}
	args := append([]string{"install"}, flags...)
	cmd := exec.Command("go", append(args, module+"/cmd/reflex@"+info.Main.Version)...)
	// `true` says nothing in pkg-config's place; the flags are in CGO_CFLAGS.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "PKG_CONFIG=true",
		fmt.Sprintf(`CGO_CFLAGS=%s "-I%s"`, cflags, header))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", cmd, err)
	}
	return nil
}

// headerOf is the directory with Python.h in Go's cache of modules, to which the version
// is downloaded if it is not there.
func headerOf(version string) (string, error) {
	answer, err := output("go", "mod", "download", "-json", module+"@"+version)
	if err != nil {
		return "", err
	}
	var downloaded struct{ Dir string }
	if err := json.Unmarshal([]byte(answer), &downloaded); err != nil {
		return "", fmt.Errorf("go mod download: %w", err)
	}
	return filepath.Join(downloaded.Dir, "embedpy", "capi"), nil
}

func output(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", cmd, err)
	}
	return strings.TrimSpace(string(out)), nil
}
