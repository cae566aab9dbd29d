package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// What is said in several places is the same in all of them.
func TestDocuments(t *testing.T) {
	read := func(file string) string {
		content, err := os.ReadFile(filepath.Join(venv.Root(), file))
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	if license := read("LICENSE"); license != read("pyshim/LICENSE") || !strings.Contains(license, "Apache License") {
		t.Error("LICENSE is not the wheel's")
	}
	oldest := regexp.MustCompile(`requires-python = ">=(.*)"`).FindStringSubmatch(read("pyshim/pyproject.toml"))[1]
	for file, sentence := range map[string]string{
		"README.md":        "CPython " + oldest + " to ",
		"embedpy/probe.go": `const oldest = "` + oldest + `"`,
		"embedpy/doc.go":   "Python " + oldest + " to ",
	} {
		if !strings.Contains(read(file), sentence) {
			t.Errorf("%s does not say %q", file, sentence)
		}
	}
	// The framework owns the script reflex where these readers are.
	_, fromReflex, _ := strings.Cut(read("README.md"), "**Reflex's `rx.Model`")
	fromReflex, _, _ = strings.Cut(fromReflex, "\n\n")
	if strings.Contains(fromReflex, "reflex db") || !strings.Contains(fromReflex, "reflex-db") {
		t.Errorf("readers who come from Reflex are told of reflex db: %s", fromReflex)
	}
	for _, word := range []string{"License", "Changelog", "Repository"} {
		if !strings.Contains(strings.ToLower(read("pyshim/pyproject.toml")), strings.ToLower(word)) {
			t.Errorf("the wheel's metadata has no %s", word)
		}
	}
}
