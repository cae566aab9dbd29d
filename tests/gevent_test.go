package tests

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// TestGevent has gevent patch Python's modules in the middle of a run: what
// watches over it stands on none of them.
func TestGevent(t *testing.T) {
	t.Parallel()
	env := venv.Get(t, venv.Newest(t), "alembic==1.20.1", "sqlalchemy[asyncio]>=2.0.58,<2.2", "gevent")
	const patch = `
from gevent import monkey
monkey.patch_all()
import gevent, subprocess, threading, time
thread = threading.Thread(target=time.sleep, args=(0.01,)); thread.start(); thread.join()
gevent.joinall([gevent.spawn(time.sleep, 0.01)], raise_error=True)
print(subprocess.run(["echo", "patched"], capture_output=True, text=True).stdout)
`
	const revision = "from alembic import op\nrevision = \"aa01\"\ndown_revision = branch_labels = depends_on = None\n"
	for where, files := range map[string][2]string{
		"in a revision": {plainEnv, revision + "def upgrade():" + strings.ReplaceAll(patch, "\n", "\n    ")},
		"in env.py":     {patch + plainEnv, revision + "def upgrade(): op.execute('CREATE TABLE t (i INTEGER)')"},
	} {
		t.Run(where, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "alembic.ini"), plainINI)
			write(t, filepath.Join(dir, "alembic", "env.py"), files[0])
			write(t, filepath.Join(dir, "alembic", "versions", "aa01.py"), files[1])
			cmd := reflexCommand(t, dir, "db", "upgrade", "head")
			cmd.Env = venv.CleanEnv("VIRTUAL_ENV="+env.Dir, "XDG_CACHE_HOME="+t.TempDir(), "PATH=/usr/bin:/bin")
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "patched") || strings.Contains(string(out), "Traceback") {
				t.Errorf("%v:\n%s", err, out)
			}
		})
	}
}
