package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// TestMaskedWords prints lines to stderr in a run that has this password: what
// is it, and what only has its letters?
func TestMaskedWords(t *testing.T) {
	env := venv.Get(t, venv.Newest(t), requirements...)
	cache := t.TempDir()
	for _, c := range []struct{ password, printed, want string }{
		{"Xy7-Tr0ub4dor", "it is Xy7-Tr0ub4dor.", "it is ***."},
		{"Xy7-Tr0ub4dor", "'Xy7-Tr0ub4dor', quoted%3AXy7-Tr0ub4dor%40h", "'***', quoted%3A***%40h"},
		{"Xy7-Tr0ub4dor", "xXy7-Tr0ub4dor Xy7-Tr0ub4dors", "xXy7-Tr0ub4dor Xy7-Tr0ub4dors"},
		{"Xy7-Tr0ub4dor", "other://app:secret@h password=secret", "other://app:secret@h password=secret"},
		{"p%40s/s", "p@s/s p%40s/s p%40s%2Fs", "*** *** ***"},
		{"correcthorsebatterystaple", "correcthorsebatterystaple", "***"},
		// Words of any text, which are a password only in its place.
		{"postgres", "using postgresql, as postgres", "using postgresql, as postgres"},
		{"postgres", "postgresql://postgres:postgres@h/postgres", "postgresql://postgres:***@h/postgres"},
		{"postgres", "password=postgres {'password': 'postgres'} the password postgres", "password=*** {'password': '***'} the password postgres"},
		{"app", "[app.runtime] app:app@app", "[app.runtime] app:***@app"},
		{"Mapped", "password: Mapped[str]; password: Mapped", "password: ***[str]; password: ***"},
		{"a", "a password: a, :a@", "a password: ***, :***@"},
		{"shop_2026_db", "FATAL: database shop_2026_db", "FATAL: database shop_2026_db"},
		{"configparser2", "configparser2", "***"},
		{"alembic_version", "alembic_version", "alembic_version"},
		{"2026112501", "revision 2026112501", "revision 2026112501"},
		{"sqlalchemy.engine", "[sqlalchemy.engine]", "[sqlalchemy.engine]"},
	} {
		t.Run(c.password+"/"+c.printed, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "alembic.ini"), plainINI)
			write(t, filepath.Join(dir, "alembic", "env.py"),
				"import sys; print(*sys.stdin.read().split(' '), file=sys.stderr)\n")
			cmd := reflexCommand(t, dir, "db", "current")
			cmd.Env = venv.CleanEnv("VIRTUAL_ENV="+env.Dir, "XDG_CACHE_HOME="+cache,
				"REFLEX_DB_URL=sqlite://", "REFLEX_DB_LOCK_URL=postgresql://app:"+c.password+"@h/shop_2026_db")
			cmd.Stdin = strings.NewReader(c.printed)
			out, err := cmd.CombinedOutput()
			if err != nil || string(out) != c.want+"\n" {
				t.Errorf("%v: %s\nwant %s", err, out, c.want)
			}
		})
	}
}

// TestSourceIsShown has a traceback with a line of source that holds a password,
// which whoever reads the message may read in the file; the message is masked.
func TestSourceIsShown(t *testing.T) {
	t.Parallel()
	env := venv.Get(t, venv.Newest(t), requirements...)
	for name, raise := range map[string]string{
		"ours":     `raise ValueError("Xy7-Tr0ub4dor")`,
		"Python's": "import threading\nt = threading.Thread(target=lambda: int(\"Xy7-Tr0ub4dor\"))\nt.start(); t.join()",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "alembic.ini"), plainINI)
			write(t, filepath.Join(dir, "alembic", "env.py"), raise)
			cmd := reflexCommand(t, dir, "db", "current")
			cmd.Env = venv.CleanEnv("VIRTUAL_ENV="+env.Dir, "XDG_CACHE_HOME="+t.TempDir(),
				"REFLEX_DB_URL=sqlite://", "REFLEX_DB_LOCK_URL=postgresql://app:Xy7-Tr0ub4dor@h/x")
			out, _ := cmd.CombinedOutput()
			if n := strings.Count(string(out), "Xy7-Tr0ub4dor"); n != 1 || !strings.Contains(string(out), "***") {
				t.Errorf("the password stands in it %d times:\n%s", n, out)
			}
		})
	}
}

func write(t testing.TB, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func reflexCommand(t testing.TB, dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(reflexDir(t), "reflex"), args...)
	cmd.Dir = dir
	return cmd
}
