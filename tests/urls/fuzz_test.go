package urls

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/session"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

func seeds(f *testing.F) {
	text, err := os.ReadFile("cases.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "env") && !strings.HasPrefix(line, "#") {
			f.Add(strings.TrimSuffix(line, "\n"))
		}
	}
}

// FuzzAgainstSQLAlchemy holds what ParseURL accepts, and what it makes of it,
// against a Python process. What session refuses and Python takes is let pass
// only with one of the reasons in deliberate.
func FuzzAgainstSQLAlchemy(f *testing.F) {
	seeds(f)
	clearEnv(f)
	cmd := exec.Command(python(f), "meaning.py", "--serve")
	cmd.Stderr, cmd.Env = os.Stderr, venv.CleanEnv()
	in, err := cmd.StdinPipe()
	if err != nil {
		f.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		f.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	answers := bufio.NewReader(out)
	f.Fuzz(func(t *testing.T, url string) {
		if strings.TrimSpace(url) == "" || strings.Contains(url, "sock") || strings.Contains(url, "service") {
			return // no URL, or one that leads to files
		}
		config, err := session.ParseURL(url)
		if err != nil && deliberate(err) {
			return
		}
		question, _ := json.Marshal(url)
		fmt.Fprintf(in, "%s\n", question)
		answer, readErr := answers.ReadBytes('\n')
		if readErr != nil {
			t.Fatal(readErr)
		}
		var want meaning
		if err := json.Unmarshal(answer, &want); err != nil {
			t.Fatal(err)
		}
		want.URL = url
		compare(t, want, config, err)
	})
}

// deliberate are the refusals that Python doesn't share, or only on connecting.
func deliberate(err error) bool {
	for _, reason := range []string{
		"UTF-8", "%00", "%40", "drop that part", "given more than once", "pgx can't do", "holds an @",
		"needs", "takes one host", "several hosts", "read", "invalid port", "postgres://", "is unknown: use", "database URL, with", "number of seconds",
	} {
		if strings.Contains(err.Error(), reason) {
			return true
		}
	}
	return false
}
