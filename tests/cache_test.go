package tests

import (
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
        header = file.read(16)
        file.seek(0); file.truncate(); file.write(header + code)
    print(name)
`

// TestPlantedBytecode runs as root with the HOME of another user, as sudo does
// it, who has left bytecode in the cache.
func TestPlantedBytecode(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	env := venv.Get(t, venv.Newest(t), requirements...)
	home := t.TempDir()
	list := func() (string, error) {
		cmd := reflexCommand(t, home, "db", "list_templates")
		cmd.Env = venv.CleanEnv("VIRTUAL_ENV="+env.Dir, "HOME="+home, "PATH=/usr/bin:/bin")
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
