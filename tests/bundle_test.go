package tests

import (
	"os"
	"path/filepath"
	"testing"
)

// What the import of Alembic finds is kept in each form, and env.py sees nothing of it.
// pyshim/tests/driver/test_bundle.py has the rest.
func TestImportsAreKept(t *testing.T) {
	t.Parallel()
	p := newProject(t, "sqlite")
	p.python = freshEnvironment(t)
	cache := t.TempDir()
	p.env = append(p.env, "XDG_CACHE_HOME="+cache)
	const look = "import importlib.machinery as m, re, sys\n" +
		"print('SEEN', [getattr(f, '__name__', f) for f in sys.meta_path if type(f).__module__ != '_embedpy'],\n" +
		"    m.SourceFileLoader.get_code.__module__, sys.modules['re'].compile.__module__)\n"
	p.edit(t, "", look)
	want := bareModule(t, p, "current")
	for range 3 {
		if got := p.succeed(t, "current").stdout.String(); got != want {
			t.Errorf("the project sees\n%s, and under alembic\n%s", got, want)
		}
	}
	kept := named(t, filepath.Join(cache, "reflex-orm", "imports"), "cpython-*")
	if len(kept) != 1 {
		t.Fatalf("kept are %q, want one file", kept)
	}
	before, err := os.Stat(kept[0])
	if err != nil {
		t.Fatal(err)
	}
	bytecode := named(t, p.python.Dir, "op.cpython-*.pyc")[0]
	if err := os.Truncate(bytecode, 0); err != nil {
		t.Fatal(err)
	}
	p.succeed(t, "current")
	if info, err := os.Stat(bytecode); err != nil || info.Size() != 0 { // Python would have written it anew
		t.Errorf("Alembic is not imported from %s: %v", kept[0], err)
	}
	if after, err := os.Stat(kept[0]); err != nil || !os.SameFile(before, after) {
		t.Errorf("it is written again without a reason: %v", err)
	}
}
