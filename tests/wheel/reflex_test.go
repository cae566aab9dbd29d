package wheel

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

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
	kept := newestReflex(t)
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

// newestReflex is an environment with the newest Reflex of the index, as it was when
// the environment was made.
func newestReflex(t *testing.T) venv.Env {
	t.Helper()
	return venv.Get(t, venv.Newest(t), "reflex[db]", "aiosqlite", "python-socketio[client]", "pytest")
}

// What `init` finds in an app of Reflex is tested beside the driver's other tests; these
// here run where Reflex is installed.
func TestInitInAReflexApp(t *testing.T) {
	env := newestReflex(t)
	in := command{dir: filepath.Join(venv.Root(), "pyshim"), env: venv.CleanEnv()}
	out := run(t, in, env.Bin("python"), "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "tests/driver/test_framework.py")
	if strings.Contains(out, "SKIPPED") {
		t.Errorf("pytest has left some out:\n%s", out)
	}
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
	if city := read(t, only(t, filepath.Join(project, "alembic", "versions", "*_city.py"))); !strings.Contains(city, "server_default") {
		t.Errorf("Reflex wrote no server default, as docs/reflex.md says:\n%s", city)
	}
	reflex("migrate")
	sign(t, in, env, "Ada")

	if first := in.result(t, env.Bin("reflex-db"), "current"); first.status != 4 || !strings.Contains(first.stderr, "rxconfig.py, line 5, has db_url") {
		t.Errorf("with the URL in rxconfig.py alone: %+v", first)
	}
	copyTree(t, filepath.Join(example, "after"), project)
	in.env = append(in.env, "REFLEX_DB_URL=sqlite:///guestbook.db", "REFLEX_ASYNC_DB_URL=sqlite+aiosqlite:///guestbook.db")
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
	want := `load ['Joan', 'Grace', 'Ada']
sign ['Alan', 'Joan', 'Grace', 'Ada']
count_cities 2
remove ['Joan', 'Grace', 'Ada']
count_cities 1
`
	if shown := page(t, in, env); shown != want {
		t.Errorf("the page shows\n%s", shown)
	}
	// Reflex's own commands go on working, and see nothing to do: not of a type either,
	// which our check sees.
	reflex("makemigrations", "--message", "nothing")
	write(t, file, strings.Replace(read(t, file), "    text: Mapped[str]", "    text: Mapped[int]", 1))
	reflex("makemigrations", "--message", "a type")
	if history := ours("history"); strings.Count(history, "\n") != 3 {
		t.Errorf("Reflex found something to migrate:\n%s", history)
	}
	if check := in.result(t, env.Bin("reflex-db"), "check"); check.status != 1 || !strings.Contains(check.stderr, "modify_type") {
		t.Errorf("our check of a type: %+v", check)
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

// page starts the app, and does what a person does in its page. There is no browser: the
// frontend needs a newer Node than Debian has, so the framework's event endpoint is driven.
func page(t *testing.T, in command, env venv.Env) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	listener.Close()
	var said bytes.Buffer
	server := exec.Command(env.Bin("reflex"), "run", "--backend-only", "--env", "prod", "--backend-host", "127.0.0.1", "--backend-port", port)
	server.Dir, server.Env, server.Stdout, server.Stderr = in.dir, in.env, &said, &said
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it has workers
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		syscall.Kill(-server.Process.Pid, syscall.SIGKILL)
		server.Wait()
		if t.Failed() {
			t.Logf("the app said:\n%s", said.String())
		}
	}()
	address := "http://127.0.0.1:" + port
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if answer, err := http.Get(address + "/ping"); err == nil {
			answer.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Error("the app does not answer")
			return ""
		}
	}
	answer, err := http.Get(address + "/_health")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if health, _ := io.ReadAll(answer.Body); !strings.Contains(string(health), `"db":true`) {
		t.Errorf("Reflex's own check of the database says %s", health)
	}
	shown, err := in.run(env.Bin("python"), filepath.Join(venv.Root(), "tests", "wheel", "testdata", "browser.py"), address)
	if err != nil {
		t.Errorf("%v", err)
	}
	return shown
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
