package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The directives of generate.go are run in a copy, which must stay as it is.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	python(t)
	work := t.TempDir()
	for _, dir := range []string{"shop", "service"} {
		if err := os.CopyFS(filepath.Join(work, dir), os.DirFS(filepath.Join("..", dir))); err != nil {
			t.Fatal(err)
		}
	}
	copied := filepath.Join(work, "service")
	text, err := os.ReadFile("generate.go")
	if err != nil {
		t.Fatal(err)
	}
	directives, left := 0, ""
	for line := range strings.Lines(string(text)) {
		directive, ok := strings.CutPrefix(strings.TrimSpace(line), "//go:generate ")
		if !ok {
			continue
		}
		directives++
		if why := unavailable(directive); why != "" {
			left += directive + ": " + why + "\n"
			continue
		}
		cmd := exec.Command("sh", "-c", directive)
		cmd.Dir = copied
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", directive, err, output)
		}
	}
	if directives != 3 {
		t.Errorf("generate.go has %d directives", directives)
	}
	err = filepath.WalkDir(copied, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(copied, path)
		if err != nil {
			return err
		}
		got, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		want, err := os.ReadFile(name)
		if err != nil || string(want) != string(got) {
			t.Errorf("%s is not current, run go generate: %v\n%s", name, err, got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if left != "" {
		t.Skip("the rest is current, and this could not be run:\n" + left)
	}
}

// unavailable says why a directive can't be run here: this reflex has no such option
// yet, or Go's module proxy is out of reach.
func unavailable(directive string) string {
	if strings.Contains(directive, "history --json") {
		help, err := exec.Command("reflex", "db", "history", "--help").Output()
		if err == nil && !strings.Contains(string(help), "--json") {
			return "reflex db history has no --json"
		}
	}
	if sqlc, ok := strings.CutSuffix(directive, " generate"); ok {
		if output, err := exec.Command("sh", "-c", sqlc+" version").CombinedOutput(); err != nil {
			return string(output)
		}
	}
	return ""
}
