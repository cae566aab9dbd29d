package embedpy

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// environ is a lookup in a list of names and values.
func environ(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// newEnv makes an environment of the newest interpreter.
func newEnv(t *testing.T, dir string) string {
	t.Helper()
	cmd := exec.Command(venv.Newest(t).Executable, "-m", "venv", "--without-pip", dir)
	cmd.Env = venv.CleanEnv()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

// noCache gives a test a cache of its own.
func noCache(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	t.Setenv("XDG_CACHE_HOME", dir)
	t.Setenv("HOME", dir)
	return dir
}

func write(t *testing.T, file, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestFindOrder(t *testing.T) {
	noCache(t)
	root := t.TempDir()
	project := filepath.Join(root, "project")
	inner := filepath.Join(project, "a", "b")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	one := newEnv(t, filepath.Join(root, "one"))
	two := newEnv(t, filepath.Join(root, "two"))
	three := newEnv(t, filepath.Join(root, "three"))
	four := newEnv(t, filepath.Join(root, "four"))
	above := newEnv(t, filepath.Join(root, "venv"))
	dotted := newEnv(t, filepath.Join(project, ".venv"))
	newEnv(t, filepath.Join(project, "venv")) // .venv goes first

	all := []string{
		"REFLEX_PYTHON", filepath.Join(one, "bin", "python3"), "VIRTUAL_ENV", two, "CONDA_PREFIX", three,
		"PATH", filepath.Join(four, "bin"),
	}
	tests := []struct {
		name, dir, explicit string
		environ             []string
		executable, source  string
	}{
		{"an option", inner, four, all, filepath.Join(four, "bin", "python"), "--python"},
		{"an option's name on PATH", inner, "python", all, filepath.Join(four, "bin", "python"), "--python"},
		{"an option's relative path", inner, "../../.venv/bin/python3", all, filepath.Join(dotted, "bin", "python3"), "--python"},
		{"REFLEX_PYTHON", inner, "", all, filepath.Join(one, "bin", "python3"), "REFLEX_PYTHON"},
		{"VIRTUAL_ENV", inner, "", all[2:], filepath.Join(two, "bin", "python"), "VIRTUAL_ENV"},
		{".venv above", inner, "", all[4:], filepath.Join(dotted, "bin", "python"), ".venv"},
		{"venv above", root, "", all[4:], filepath.Join(above, "bin", "python"), "venv"},
		{"CONDA_PREFIX", t.TempDir(), "", all[4:], filepath.Join(three, "bin", "python"), "CONDA_PREFIX"},
		{"PATH", t.TempDir(), "", all[6:], filepath.Join(four, "bin", "python3"), "PATH"},
	}
	for _, test := range tests {
		python, err := Find(t.Context(), FindOptions{Dir: test.dir, Explicit: test.explicit, Environ: environ(test.environ...)})
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if python.Executable != test.executable || python.Source != test.source {
			t.Errorf("%s: %s from %s, want %s", test.name, python.Executable, python.Source, test.executable)
		}
		if want := filepath.Dir(filepath.Dir(test.executable)); python.Prefix != want {
			t.Errorf("%s: prefix %s, want %s", test.name, python.Prefix, want)
		}
	}
}

// Each way in which what was chosen can be broken says what is wrong, and
// another interpreter is not run in its place.
func TestFindBroken(t *testing.T) {
	noCache(t)
	defer func(old time.Duration) { probeTimeout = old }(probeTimeout)
	probeTimeout = 2 * time.Second
	real := venv.Newest(t).Executable
	path := []string{"PATH", filepath.Dir(real)}

	dangling := newEnv(t, filepath.Join(t.TempDir(), ".venv"))
	for _, name := range []string{"python", "python3"} {
		os.Remove(filepath.Join(dangling, "bin", name))
		if err := os.Symlink("/gone/python", filepath.Join(dangling, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	halfDeleted := newEnv(t, filepath.Join(t.TempDir(), ".venv"))
	if err := os.RemoveAll(filepath.Join(halfDeleted, "bin")); err != nil {
		t.Fatal(err)
	}
	scripts := t.TempDir()
	hangs := write(t, filepath.Join(scripts, "hangs"), "#!/bin/sh\nsleep 600\n")
	mute := write(t, filepath.Join(scripts, "mute"), "#!/bin/sh\necho hello\n")
	fails := write(t, filepath.Join(scripts, "fails"), "#!/bin/sh\necho 'no such version' >&2\nexit 127\n")
	foreign := write(t, filepath.Join(scripts, "foreign"), "\x7fELF\x02\x01\x01no machine")

	tests := map[string]struct {
		opts   FindOptions
		reason string
		fix    string
	}{
		"dangling":     {FindOptions{Dir: filepath.Dir(dangling)}, "is a link to /gone/python, which is not there", "python3 -m venv --clear " + dangling},
		"half-deleted": {FindOptions{Dir: filepath.Dir(halfDeleted)}, "bin/python no such file or directory", "python3 -m venv --clear " + halfDeleted},
		"moved":        {FindOptions{Environ: environ(append(path, "VIRTUAL_ENV", "/moved/away")...)}, "VIRTUAL_ENV: /moved/away/bin/python no such file", "unset VIRTUAL_ENV"},
		"hangs":        {FindOptions{Explicit: hangs}, "gave no answer within 2s", ""},
		"mute":         {FindOptions{Explicit: mute}, "does not answer like a Python", ""},
		"fails":        {FindOptions{Explicit: fails}, "exit status 127: no such version", ""},
		"foreign":      {FindOptions{Explicit: foreign}, "is not for this machine", ""},
		"a directory":  {FindOptions{Explicit: scripts}, "bin/python no such file", ""},
		"no program":   {FindOptions{Explicit: "no-such-python"}, "no-such-python no such file", ""},
	}
	for name, test := range tests {
		if test.opts.Environ == nil {
			test.opts.Environ = environ(path...)
		}
		_, err := Find(t.Context(), test.opts)
		var notFound *NotFoundError
		if !errors.As(err, &notFound) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !strings.Contains(err.Error(), test.reason) || !strings.Contains(notFound.Fix, test.fix) || notFound.Fix == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFindNothing(t *testing.T) {
	dir := t.TempDir()
	_, err := Find(t.Context(), FindOptions{Dir: dir, Environ: environ("PATH", dir)})
	var notFound *NotFoundError
	if !errors.As(err, &notFound) || !strings.Contains(err.Error(), "PATH: no python3") || !strings.Contains(err.Error(), "python3 -m venv .venv") {
		t.Errorf("%v", err)
	}
}

// A wrapper may print what it likes and be slow to say who it runs: what counts
// is the interpreter behind it. One that does not run is passed over on PATH.
func TestFindWrapper(t *testing.T) {
	noCache(t)
	real := venv.Newest(t).Executable
	broken, noisy := t.TempDir(), t.TempDir()
	write(t, filepath.Join(broken, "python3"), "#!/bin/sh\nexit 127\n")
	write(t, filepath.Join(noisy, "python3"), "#!/bin/sh\necho 'loading <embedpy>'\n'"+real+"' \"$@\"\necho loaded\n")
	python, err := Find(t.Context(), FindOptions{Dir: t.TempDir(), Environ: environ("PATH", "relative:"+broken+":"+noisy)})
	if err != nil {
		t.Fatal(err)
	}
	if python.Executable != real || python.Source != "PATH" {
		t.Errorf("%+v", python)
	}
}

func TestFindCancelled(t *testing.T) {
	noCache(t)
	ctx, cancel := context.WithCancel(t.Context())
	script := write(t, filepath.Join(t.TempDir(), "python"), "#!/bin/sh\nsleep 600\n")
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := Find(ctx, FindOptions{Explicit: script}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestTooOld(t *testing.T) {
	pyenv := os.Getenv("PYENV_ROOT")
	if home, err := os.UserHomeDir(); err == nil && pyenv == "" {
		pyenv = filepath.Join(home, ".pyenv")
	}
	noCache(t)
	for pattern, reason := range map[string]string{"3.[6789].*": "is Python 3.", "2.*": "is Python 2"} {
		matches, _ := filepath.Glob(filepath.Join(pyenv, "versions", pattern, "bin", "python"))
		if len(matches) == 0 {
			t.Logf("no Python %s under pyenv on this machine", pattern)
			continue
		}
		_, err := Find(t.Context(), FindOptions{Explicit: matches[0]})
		if err == nil || !strings.Contains(err.Error(), reason) || !strings.Contains(err.Error(), "3.10 or later is needed") {
			t.Errorf("%s: %v", matches[0], err)
		}
	}
}

// The libpython to load is the one that the interpreter uses itself. One that only lies
// beside it is left alone: the interpreter is faster.
func TestLibrary(t *testing.T) {
	noCache(t)
	python := static(t)
	if reason := CannotStart(python); reason != "this Python uses none" {
		t.Errorf("the reason is %q", reason)
	}
	beside, _ := filepath.Glob(filepath.Join(python.BasePrefix, "lib", "libpython3*"))
	debians, _ := filepath.Glob(filepath.Join(python.BasePrefix, "lib", "*", "libpython3*"))
	if len(beside)+len(debians) == 0 {
		t.Logf("left out: no libpython lies beside %s", python.Executable)
	}
	onEach(t, func(t *testing.T, python *Python) {
		if name := filepath.Base(python.Library); !strings.HasPrefix(name, "libpython3") || CannotStart(python) != "" {
			t.Errorf("the library is %q", python.Library)
		}
	})
}

func TestCache(t *testing.T) {
	dir := noCache(t)
	env := newEnv(t, filepath.Join(t.TempDir(), "env"))
	find := func() *Python {
		t.Helper()
		python, err := Find(t.Context(), FindOptions{Explicit: env})
		if err != nil {
			t.Fatal(err)
		}
		return python
	}
	want := *find()
	files, _ := filepath.Glob(filepath.Join(dir, "*", "reflex-orm", "python-*.json"))
	if more, _ := filepath.Glob(filepath.Join(dir, "reflex-orm", "python-*.json")); len(more) > 0 {
		files = more
	}
	if len(files) != 1 {
		t.Fatalf("the cache has %v", files)
	}
	// mark changes what the cache says, so that one sees where an answer is from.
	mark := func() {
		t.Helper()
		content, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		var entry cacheEntry
		if err := json.Unmarshal(content, &entry); err != nil {
			t.Fatal(err)
		}
		entry.Python.Version = "cached"
		content, err = json.Marshal(entry)
		if err != nil {
			t.Fatal(err)
		}
		write(t, files[0], string(content))
	}
	mark()
	if got := find(); got.Version != "cached" || got.Source != "--python" {
		t.Errorf("the cache is not used: %+v", got)
	}
	config := filepath.Join(env, "pyvenv.cfg")
	if err := os.Chtimes(config, time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if got := find(); !reflect.DeepEqual(*got, want) {
		t.Errorf("a new pyvenv.cfg: %+v", got)
	}
	for _, content := range []string{"", "{", "[]", `{"Key":{}}`, "null"} {
		write(t, files[0], content)
		if got := find(); !reflect.DeepEqual(*got, want) {
			t.Errorf("a cache file of %q: %+v", content, got)
		}
	}
	if err := errors.Join(os.Remove(files[0]), exec.Command("mkfifo", files[0]).Run()); err != nil {
		t.Fatal(err)
	}
	if got := find(); !reflect.DeepEqual(*got, want) {
		t.Errorf("a FIFO in the place of the file: %+v", got)
	}
	if mark(); os.Geteuid() == 0 {
		if err := os.Chown(files[0], 12345, 12345); err != nil {
			t.Fatal(err)
		}
		if got := find(); !reflect.DeepEqual(*got, want) {
			t.Errorf("another user's file: %+v", got)
		}
	}
	if err := os.RemoveAll(filepath.Dir(files[0])); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Dir(files[0]), "a file in the place of the directory")
	if got := find(); !reflect.DeepEqual(*got, want) {
		t.Errorf("an unwritable cache: %+v", got)
	}
}

// An environment that a search finds is used if nobody but this user and root can change
// it. Another one is named, and the search goes on.
func TestFindTrust(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	noCache(t)
	const somebody = 12345
	made := newEnv(t, filepath.Join(t.TempDir(), "made"))
	give := func(t *testing.T, path string) {
		t.Helper()
		if err := os.Lchown(path, somebody, somebody); err != nil {
			t.Fatal(err)
		}
	}
	open := func(t *testing.T, path string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		change  func(t *testing.T, top, env string)
		sudo    string
		reason  string // with TOP and ENV
		goesOn  bool   // the next one is used
		useless bool   // none is
	}{
		"ours":                     {change: func(*testing.T, string, string) {}},
		"the group's":              {change: func(t *testing.T, top, env string) { open(t, env, 0o775); open(t, top, 0o775) }},
		"in a directory like /tmp": {change: func(t *testing.T, top, env string) { open(t, top, 0o777|os.ModeSticky) }},
		"sudo by its owner":        {change: func(t *testing.T, top, env string) { give(t, env); give(t, top) }, sudo: "12345"},
		"somebody's":               {change: func(t *testing.T, top, env string) { give(t, env) }, goesOn: true, reason: "ENV belongs to another user"},
		"sudo by another":          {change: func(t *testing.T, top, env string) { give(t, env) }, goesOn: true, sudo: "12346", reason: "ENV belongs to another user"},
		"in somebody's directory":  {change: func(t *testing.T, top, env string) { give(t, top) }, useless: true, reason: "TOP belongs to another user"},
		"everybody's":              {change: func(t *testing.T, top, env string) { open(t, env, 0o777) }, goesOn: true, reason: "every user can change ENV"},
		"like /tmp":                {change: func(t *testing.T, top, env string) { open(t, env, 0o777|os.ModeSticky) }, goesOn: true, reason: "every user can change ENV"},
		"in everybody's directory": {change: func(t *testing.T, top, env string) { open(t, top, 0o777) }, useless: true, reason: "every user can change TOP"},
		"somebody's link to ours":  {change: func(t *testing.T, top, env string) { link(t, made, env); give(t, env) }, goesOn: true, reason: "ENV belongs to another user"},
		"our link to ours":         {change: func(t *testing.T, top, env string) { link(t, made, env) }},
		"our link to somebody's":   {change: func(t *testing.T, top, env string) { move(t, env, top+"/theirs"); give(t, top+"/theirs") }, goesOn: true, reason: "TOP/theirs belongs to another user"},
	} {
		t.Run(name, func(t *testing.T) {
			top := filepath.Join(t.TempDir(), "top")
			env, next := filepath.Join(top, ".venv"), filepath.Join(top, "venv")
			for _, dir := range []string{env, next} {
				if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
					t.Fatal(err)
				}
				if out, err := exec.Command("cp", "-a", made, dir).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			inner := filepath.Join(top, "a", "b")
			if err := os.MkdirAll(inner, 0o755); err != nil {
				t.Fatal(err)
			}
			test.change(t, top, env)
			want := env
			if test.goesOn {
				want = next
			}
			reason := strings.NewReplacer("TOP", top, "ENV", env).Replace(test.reason)

			// The two that search answer alike.
			said := twin(t, made, inner, test.sudo)
			python, err := Find(t.Context(), FindOptions{Dir: inner, Environ: environ("SUDO_UID", test.sudo, "PATH", t.TempDir())})
			if test.useless {
				var notFound *NotFoundError
				if !errors.As(err, &notFound) || !strings.Contains(err.Error(), ".venv: "+env+" is not used: "+reason) {
					t.Errorf("%v", err)
				}
				if !strings.HasSuffix(said, "None\n") || !strings.Contains(said, env+" is not used: "+reason) {
					t.Errorf("project.py: %s", said)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if python.Prefix != want || (len(python.Passed) > 0) != test.goesOn {
				t.Errorf("%+v, want %s", python, want)
			}
			lines := ""
			for _, passed := range python.Passed {
				lines += passed.Path + " " + passed.Reason + "\n"
				if !strings.Contains(passed.Reason, reason) || !strings.HasSuffix(passed.Reason, "To use it: --python "+env+", or VIRTUAL_ENV="+env) {
					t.Errorf("the reason is %q, want %q", passed.Reason, reason)
				}
			}
			if want := lines + python.Executable + "\n"; said != want {
				t.Errorf("project.py: %q, want %q", said, want)
			}
		})
	}
}

// twin is what pyshim/reflex_driver/project.py finds, after what it says of it.
func twin(t *testing.T, env, dir, sudo string) string {
	t.Helper()
	const source = `
import sys
from reflex_driver import project
found = project._find("")
sys.stderr.flush()
print(found and found[1])
`
	cmd := exec.Command(filepath.Join(env, "bin", "python"), "-c", source)
	cmd.Dir, cmd.Env = dir, venv.CleanEnv("PYTHONPATH="+filepath.Join(venv.Root(), "pyshim"), "PYTHONDONTWRITEBYTECODE=1", "SUDO_UID="+sudo)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(name), os.Symlink(target, name)); err != nil {
		t.Fatal(err)
	}
}

// move moves a directory and leaves a link.
func move(t *testing.T, from, to string) {
	t.Helper()
	if err := errors.Join(os.Rename(from, to), os.Symlink(to, from)); err != nil {
		t.Fatal(err)
	}
}
