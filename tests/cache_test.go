package tests

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// poison gives every file of bytecode in a directory other code.
const poison = `
import glob, marshal, sys
code = marshal.dumps(compile("raise SystemExit('planted')", "planted", "exec"))
for name in glob.glob(sys.argv[1] + "/**/*.pyc", recursive=True):
    with open(name, "r+b") as file:
        header = file.read(36)
        file.seek(0); file.truncate(); file.write(header + code)
    print(name)
`

// TestPlantedBytecode runs as root with the HOME of another user, as sudo does
// it, who has left bytecode in the cache.
func TestPlantedBytecode(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	env := venv.Get(t, venv.Newest(t), requirements...)
	variables := []string{}
	if form == console { // only with both is what it imports in our cache
		env, variables = freshEnvironment(t), []string{"PYTHONDONTWRITEBYTECODE=1"}
	}
	home := t.TempDir()
	list := func() (string, error) {
		cmd := reflexCommand(t, home, "db", "list_templates")
		cmd.Env = venv.CleanEnv(append(variables, "VIRTUAL_ENV="+env.Dir, "HOME="+home, "PATH=/usr/bin:/bin")...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := list(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command(env.Bin("python"), "-c", poison, home+"/.cache").CombinedOutput(); err != nil || len(out) == 0 {
		t.Fatalf("no bytecode to change: %v %s", err, out)
	}
	if out, _ := list(); !strings.Contains(out, "planted") {
		t.Fatalf("the bytecode is not used at all: %s", out)
	}
	// A group may write to ~/.cache (umask 002) where only this user enters the home.
	for _, c := range []struct {
		home os.FileMode
		used bool
	}{{0o700, true}, {0o711, false}} {
		if err := errors.Join(os.Chmod(home+"/.cache", 0o775), os.Chmod(home, c.home), os.Chmod(filepath.Dir(home), 0o755)); err != nil {
			t.Fatal(err)
		}
		if out, _ := list(); strings.Contains(out, "planted") != c.used {
			t.Errorf("a home of mode %o: %s", c.home, out)
		}
	}
	if err := errors.Join(os.Chmod(home+"/.cache", 0o700), os.Chmod(home, 0o755)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(home, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, 12345, 12345)
	})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := list(); err != nil || strings.Contains(out, "planted") {
		t.Errorf("root ran another's bytecode: %v\n%s", err, out)
	}
}

// An environment of another user that is found above the project is named and not run.
func TestEnvironmentOfAnother(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	if form == console {
		t.Skip("the script looks for no Python on PATH; pyshim's test_project.py asks whom it trusts")
	}
	env := venv.Get(t, venv.Newest(t), requirements...)
	above := t.TempDir()
	project, planted := filepath.Join(above, "project"), filepath.Join(above, ".venv")
	const script = "#!/bin/sh\ntouch \"$0.has-run\"\n"
	for dir, content := range map[string]string{filepath.Join(planted, "bin", "python"): script, filepath.Join(project, "README"): ""} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(dir), 0o755), os.WriteFile(dir, []byte(content), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Lchown(planted, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"db", "list_templates"}, {"__complete", "db", "up"}} {
		cmd := reflexCommand(t, project, args...)
		cmd.Env = venv.CleanEnv("PATH=" + filepath.Join(env.Dir, "bin") + ":/usr/bin:/bin")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil || len(out) == 0 {
			t.Errorf("%q: %v %s%s", args, err, out, &stderr)
		}
		said := strings.Contains(stderr.String(), planted+" is not used: "+planted+" belongs to another user. To use it: --python "+planted)
		if said != (args[0] == "db") {
			t.Errorf("%q: stderr: %s", args, &stderr)
		}
		if _, err := os.Stat(filepath.Join(planted, "bin", "python.has-run")); err == nil {
			t.Fatalf("%q has run another user's program", args)
		}
	}
}
