package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// compiled is what a verbose Python says of a module whose source it has compiled.
var compiled = regexp.MustCompile(`(?m)^# code object from (/.*\.py)$`)

// freshEnvironment has Alembic's packages, and bytecode of none of them.
func freshEnvironment(t *testing.T) venv.Env {
	t.Helper()
	from := venv.Get(t, venv.Newest(t), requirements...)
	env := venv.Env{Dir: t.TempDir(), Python: from.Python}
	const fresh = `set -e
cp -P "$FROM"/pyvenv.cfg "$TO"
mkdir "$TO"/bin
cp -P "$FROM"/bin/python* "$TO"/bin
for packages in "$FROM"/lib/python*/site-packages; do :; done
to="$TO${packages#"$FROM"}"
mkdir -p "$to"
for name in alembic sqlalchemy mako markupsafe typing_extensions.py greenlet tomli; do
	if [ -e "$packages/$name" ]; then cp -R "$packages/$name" "$to"; fi
done
find "$TO" -name __pycache__ -exec rm -r {} +
`
	cmd := exec.Command("sh", "-c", fresh)
	cmd.Env = append(os.Environ(), "FROM="+from.Dir, "TO="+env.Dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return env
}

// named are the files whose names match a pattern of find.
func named(t *testing.T, dir, pattern string) []string {
	t.Helper()
	out, err := exec.Command("find", dir, "-name", pattern).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

// Where Python writes no bytecode, what is imported is compiled once, and neither
// the project nor its directories show it.
func TestBytecodeIsKept(t *testing.T) {
	t.Parallel()
	env := freshEnvironment(t)
	p := newProject(t, "sqlite")
	p.python = env
	cache := filepath.Join(t.TempDir(), "reflex-orm")
	gone := filepath.Join(cache, "bytecode", "%nowhere%env")
	if err := os.MkdirAll(gone, 0o700); err != nil {
		t.Fatal(err)
	}
	p.env = append(p.env, "XDG_CACHE_HOME="+filepath.Dir(cache), "PYTHONDONTWRITEBYTECODE=1")
	for _, made := range named(t, p.dir, "__pycache__") { // by the project's beginning
		if err := os.RemoveAll(made); err != nil {
			t.Fatal(err)
		}
	}
	const look = "import sys, sqlalchemy, alembic.op\n" +
		"print('SEEN', sys.dont_write_bytecode, sys.pycache_prefix, sqlalchemy.__cached__, type(sqlalchemy.__loader__))\n"
	p.edit(t, "", look)
	want := bareModule(t, p, "current")
	if got := p.succeed(t, "current").stdout.String(); got != want || !strings.Contains(got, "SEEN") {
		t.Errorf("the project sees\n%s, and under alembic\n%s", got, want)
	}
	if _, err := os.Stat(gone); err == nil {
		t.Error("bytecode of an environment that is gone stays")
	}

	verbose := *p
	verbose.env = append(p.env[:len(p.env):len(p.env)], "PYTHONVERBOSE=1")
	sources := compiled.FindAllStringSubmatch(verbose.succeed(t, "current").stderr.String(), -1)
	if len(sources) != 1 || !strings.HasSuffix(sources[0][1], "/alembic/env.py") { // which is the project's
		t.Errorf("the second run has compiled %q", sources)
	}
	for _, dir := range []string{env.Dir, p.dir} {
		if made := named(t, dir, "*.pyc"); len(made) > 0 {
			t.Errorf("bytecode was written where Python writes none: %s", made)
		}
	}

	// Another source is another module.
	op := named(t, env.Dir, "op.py")[0]
	text, err := os.ReadFile(op)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(op, append(text, "\nprint('the new source')\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := p.succeed(t, "current").stdout.String(); !strings.Contains(got, "the new source") {
		t.Errorf("a changed module is not read again:\n%s", got)
	}

	// A traceback has none of our frames.
	broken := filepath.Join(filepath.Dir(filepath.Dir(op)), "broken.py")
	if err := os.WriteFile(broken, []byte("def"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.edit(t, "import sys,", "import broken, sys,")
	shown := p.start(t, "--traceback", "current").wantStatus(t, 1).stderr.String()
	if !strings.Contains(shown, "SyntaxError") || strings.Contains(shown, "get_code") || strings.Contains(shown, "bytecode.py") {
		t.Errorf("a module that is no Python is shown like this:\n%s", shown)
	}
	p.edit(t, "import broken, sys,", "import sys,")

	// Nobody else's.
	p.succeed(t, "current")
	if out, err := exec.Command(env.Bin("python"), "-c", poison, cache+"/bytecode").CombinedOutput(); err != nil || len(out) == 0 {
		t.Fatalf("no bytecode to change: %v %s", err, out)
	}
	planted := p.start(t, "current")
	if planted.status(t) == 0 || !strings.Contains(planted.stdout.String()+planted.stderr.String(), "planted") {
		t.Fatalf("the bytecode is not used at all: %s", &planted.stderr)
	}
	above := filepath.Dir(filepath.Dir(cache)) // of t.TempDir, and nobody else enters it
	for _, step := range []struct {
		path string
		mode os.FileMode
		used bool
	}{{cache, 0o777, true}, {above, 0o711, false}, {above, 0o700, true}, {cache, 0o700, true}} {
		if err := os.Chmod(step.path, step.mode); err != nil {
			t.Fatal(err)
		}
		if run := p.start(t, "current"); (run.status(t) != 0) != step.used {
			t.Errorf("%s has mode %o, and what is kept is used: %v, want %v", step.path, step.mode, !step.used, step.used)
		}
	}
}

// Who changes what Python compiles still does.
func TestBytecodeIsLeftToSitecustomize(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	p.python = freshEnvironment(t)
	const customize = "from importlib.machinery import SourceFileLoader as L\n" +
		"old = L.get_code\n" +
		"def get_code(self, name):\n" +
		"    if name == 'alembic.op': print('asked for', name)\n" +
		"    return old(self, name)\n" +
		"L.get_code = get_code\n"
	dir, cache := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sitecustomize.py"), []byte(customize), 0o644); err != nil {
		t.Fatal(err)
	}
	p.env = append(p.env, "XDG_CACHE_HOME="+cache, "PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH="+dir)
	for range 2 {
		if got := p.succeed(t, "current").stdout.String(); !strings.Contains(got, "asked for alembic.op") {
			t.Errorf("the project's own loader is passed by:\n%s", got)
		}
	}
}

// A place that the user has named is the place.
func TestBytecodeHasThePrefixOfTheUser(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	p.python = freshEnvironment(t)
	cache, prefix := t.TempDir(), t.TempDir()
	p.env = append(p.env, "XDG_CACHE_HOME="+cache, "PYTHONPYCACHEPREFIX="+prefix)
	p.succeed(t, "current")
	if len(named(t, prefix, "*sqlalchemy*")) == 0 {
		t.Error("PYTHONPYCACHEPREFIX is not respected")
	}
	if kept := named(t, cache, "bytecode"); len(kept) > 0 {
		t.Errorf("there is also %s", kept)
	}
}

// bareModule is what `python -m alembic` prints: a fresh environment has no script.
func bareModule(t *testing.T, p *project, args ...string) string {
	t.Helper()
	bare := exec.Command(p.python.Bin("python"), append([]string{"-m", "alembic"}, args...)...)
	bare.Dir, bare.Env = p.dir, p.command(t).Env
	out, err := bare.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
