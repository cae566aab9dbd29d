package wheel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// The Reflex framework owns the command reflex; ours is installed beside it.
// Then the app in examples/reflex moves, with its history and its data: two
// migrations are made by Reflex, and a third by us.
func TestBesideReflex(t *testing.T) {
	env := framework(t)

	t.Run("side by side", func(t *testing.T) {
		run(t, command{env: bare(t)}, env.Bin("reflex"), "--version")
		if help := run(t, command{env: bare(t), dir: t.TempDir()}, env.Bin("reflex-db"), "--help"); !strings.Contains(help, "upgrade") {
			t.Errorf("reflex-db --help says %s", help)
		}
	})
	t.Run("examples/reflex", func(t *testing.T) { move(t, env) })
}

// framework is an environment with the newest Reflex of the index and our wheel. Reflex
// is installed once, in an environment that is kept; this one lies above that.
func framework(t *testing.T) venv.Env {
	t.Helper()
	wheel, _ := distribution(t)
	kept := venv.Get(t, venv.Newest(t), "reflex[db]", "aiosqlite", "python-dotenv", "websockets")
	env := venv.Env{Dir: filepath.Join(t.TempDir(), "venv"), Python: kept.Python}
	clean := command{env: venv.CleanEnv()}
	run(t, clean, env.Python.Executable, "-m", "venv", "--without-pip", env.Dir)
	write(t, filepath.Join(sitePackages(t, env), "kept.pth"), sitePackages(t, kept)+"\n")
	script := strings.ReplaceAll(read(t, kept.Bin("reflex")), kept.Dir, env.Dir)
	write(t, env.Bin("reflex"), script)
	if err := os.Chmod(env.Bin("reflex"), 0o755); err != nil {
		t.Fatal(err)
	}
	pip := []string{"-m", "pip", "--python", env.Bin("python"), "--disable-pip-version-check"}
	run(t, clean, kept.Bin("python"), append(pip, "install", "--quiet", "--no-deps", wheel)...)
	run(t, clean, kept.Bin("python"), append(pip, "check")...)
	if read(t, env.Bin("reflex")) != script {
		t.Error("the wheel has replaced Reflex's own command")
	}
	return env
}

func sitePackages(t *testing.T, env venv.Env) string {
	t.Helper()
	return only(t, filepath.Join(env.Dir, "lib", "python*", "site-packages"))
}

func move(t *testing.T, env venv.Env) {
	example := filepath.Join(venv.Root(), "examples", "reflex")
	project := t.TempDir()
	module := filepath.Join(project, "guestbook", "guestbook.py")
	in := command{dir: project, env: append(venv.CleanEnv("REFLEX_TELEMETRY_ENABLED=false"), "HOME="+t.TempDir())}
	reflex := func(args ...string) string {
		t.Helper()
		return run(t, in, env.Bin("reflex"), append([]string{"db"}, args...)...)
	}
	ours := func(args ...string) string {
		t.Helper()
		return run(t, in, env.Bin("reflex-db"), args...)
	}
	copyTree(t, filepath.Join(example, "before"), project)

	// Reflex's first migration has no city; its second adds it.
	before := read(t, module)
	write(t, module, strings.NewReplacer("    city: str = \"\"\n", "", `" (", e.city, "): "`, `": "`).Replace(before))
	reflex("init")
	write(t, module, before)
	reflex("makemigrations", "--message", "city")
	reflex("migrate")
	sign(t, in, env, "Ada")

	copyTree(t, filepath.Join(example, "after"), project)
	in.env = append(in.env, "REFLEX_DB_URL=sqlite:///guestbook.db")
	if history := ours("history"); strings.Count(history, "\n") != 2 {
		t.Fatalf("Reflex made these migrations, not two:\n%s", history)
	}
	if current := ours("current"); !strings.Contains(current, "(head)") {
		t.Errorf("after Reflex's migrate, reflex-db current says %q", current)
	}
	ours("upgrade", "head")
	ours("check")
	if entries := sign(t, in, env, "Grace"); entries != "Grace Ada\n" {
		t.Errorf("after the move, the entries are by %q", entries)
	}

	file := filepath.Join(project, "guestbook", "models.py")
	write(t, file, read(t, file)+"    likes: Mapped[int] = mapped_column(default=0, server_default=\"0\")\n")
	ours("revision", "--autogenerate", "-m", "likes")
	ours("upgrade", "head")
	if history := ours("history"); strings.Count(history, "\n") != 3 {
		t.Errorf("our migration is not the third:\n%s", history)
	}
	ours("check")
	if entries := sign(t, in, env, "Joan"); entries != "Joan Grace Ada\n" {
		t.Errorf("after the third migration, the entries are by %q", entries)
	}
	// Reflex's own commands go on working, and see nothing to do.
	reflex("makemigrations", "--message", "nothing")
	if history := ours("history"); strings.Count(history, "\n") != 3 {
		t.Errorf("Reflex found something to migrate:\n%s", history)
	}
}

// sign signs the guestbook as its page would, and returns the authors in it.
func sign(t *testing.T, in command, env venv.Env, author string) string {
	t.Helper()
	return run(t, in, env.Bin("python"), "-c", `
import sys
from guestbook.guestbook import State
state = State(_reflex_internal_init=True)
State.sign.fn(state, {"author": sys.argv[1], "text": "hello", "city": "London"})
print(*(entry.author for entry in state.entries))
`, author)
}

// copyTree copies the files of a directory over another's.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.Name() == "__pycache__" {
			return filepath.SkipDir
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}
