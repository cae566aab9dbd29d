// Package pages reads the commands out of README and docs, so that a test can run them as
// they are printed.
package pages

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// Read is the text of a page, named by its path in the checkout.
func Read(t testing.TB, page string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(venv.Root(), page))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

var fence = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// Blocks are the page's blocks of a language, in order.
func Blocks(t testing.TB, page, language string) []string {
	t.Helper()
	var found []string
	for _, match := range fence.FindAllStringSubmatch(Read(t, page), -1) {
		if match[1] == language {
			found = append(found, match[2])
		}
	}
	return found
}

// Only is the one block of commands of the page that has the text.
func Only(t testing.TB, page, text string) string {
	t.Helper()
	var found []string
	for _, block := range Blocks(t, page, "sh") {
		if strings.Contains(block, text) {
			found = append(found, strings.TrimSpace(block))
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s has %d blocks with %q, not one", page, len(found), text)
	}
	return found[0]
}
