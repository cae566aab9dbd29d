package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReport runs a real `go test` of packages that pass, skip, fail, crash and do
// not compile.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.com/m\n\ngo 1.24\n",
		"good/good_test.go": `package good
import "testing"
func TestQuiet(t *testing.T) { t.Log("said by one that passes") }
func TestSkips(t *testing.T) { t.Skip("no MariaDB: apt-get is missing\nand a second line") }
func TestSkipsToo(t *testing.T) { t.Skip("no MariaDB: apt-get is missing") }
func TestParent(t *testing.T) { t.Run("child", func(t *testing.T) { t.Log("before"); t.Skip("not root") }) }
func TestLeavesOut(t *testing.T) { t.Log("left out: Python 3.14") }
func TestLeavesOutAgain(t *testing.T) { t.Log("left out: Python 3.14") }
func TestPytest(t *testing.T) { t.Log("..s\nSKIPPED [1] tests/test_a.py:3: no server\n3 passed") }
`,
		"bad/bad_test.go": `package bad
import "testing"
func TestFails(t *testing.T) { t.Run("child", func(t *testing.T) { t.Error("the reason") }) }
func TestPasses(t *testing.T) { t.Log("said by one that passes") }
`,
		"crash/crash_test.go": `package crash
import "testing"
func TestCrashes(t *testing.T) { t.Log("the last words"); go panic("the panic"); select {} }
`,
		"broken/broken_test.go": "package broken\nvar x int = \"not an int\"\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func(packages string) (string, int) {
		out := &strings.Builder{}
		r := report{out: out, output: map[test][]string{}, skipped: map[string][]string{}}
		status, err := r.run("cd " + dir + " && go test -json " + packages)
		if err != nil {
			t.Fatal(err)
		}
		r.finish(status)
		return out.String(), status
	}

	got, status := run("./good")
	want := `Skipped, and why:
  Python 3.14
    left out
  no MariaDB: apt-get is missing
    example.com/m/good TestSkips, example.com/m/good TestSkipsToo
  no server
    tests/test_a.py:3
  not root
    example.com/m/good TestParent/child
`
	if ok, list, _ := strings.Cut(got, "\n"); status != 0 || !strings.HasPrefix(ok, "ok  \texample.com/m/good\t") || list != want {
		t.Errorf("status %d, and\n%s", status, got)
	}

	got, status = run("./...")
	if status != 1 || !strings.HasSuffix(got, want+"FAIL\n") || strings.Contains(got, "said by one that passes") {
		t.Errorf("status %d, and\n%s", status, got)
	}
	for _, line := range []string{
		"bad_test.go:3: the reason\n", "--- FAIL: TestFails/child (", "FAIL\texample.com/m/bad\t",
		"crash_test.go:3: the last words\n", "panic: the panic\n", "FAIL\texample.com/m/crash\t",
		"broken_test.go:2:13: cannot use", "FAIL\texample.com/m/broken [build failed]\n",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("%q is not in\n%s", line, got)
		}
	}

	if got, status = run("./quiet"); status == 0 || !strings.HasSuffix(got, "Skipped: nothing\nFAIL\n") {
		t.Errorf("status %d, and\n%s", status, got)
	}
}
