package sessiontest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
)

// write makes a project of files, given as name and content.
func write(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		file := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestState(t *testing.T) {
	project := []string{"alembic.ini", "[alembic]", "db/env.py", "", "db/script.py.mako", "", "db/versions/a.py", "a", "app.py", "1"}
	state := func(opts []Option, files ...string) string {
		hash, err := Project(write(t, append(project, files...)...), opts...).state()
		if err != nil {
			t.Fatal(err)
		}
		return hash
	}
	plain := state(nil)
	for name, same := range map[string]string{
		"bytecode":     state(nil, "db/versions/__pycache__/a.pyc", "x"),
		"the app":      state(nil, "app.py", "2"),
		"an env":       state(nil, ".venv/alembic/env.py", "", ".venv/alembic/script.py.mako", ""),
		"another env":  state(nil, "env/pyvenv.cfg", "", "env/alembic/env.py", "", "env/alembic/script.py.mako", ""),
		"node_modules": state(nil, "node_modules/x/env.py", "", "node_modules/x/script.py.mako", ""),
	} {
		if same != plain {
			t.Errorf("%s changes the state", name)
		}
	}
	for name, other := range map[string]string{
		"a revision":         state(nil, "db/versions/b.py", "b"),
		"its content":        state(nil, "db/versions/a.py", "b"),
		"its name":           state(nil, "db/versions/a.py", "", "db/versions/aa.py", "a"),
		"SQL beside it":      state(nil, "db/sql/a.sql", "b"),
		"the configuration":  state(nil, "alembic.ini", "[alembic]\n"),
		"pyproject.toml":     state(nil, "pyproject.toml", ""+"[tool.alembic]"),
		"the target":         state([]Option{Upgrade("heads")}),
		"what is named":      state([]Option{Reads("app.py")}),
		"another script dir": state(nil, "two/env.py", "", "two/versions/a.py", ""),
	} {
		if other == plain {
			t.Errorf("%s doesn't change the state", name)
		}
	}
}

func TestStateRefuses(t *testing.T) {
	for want, files := range map[string][]string{
		"no script directory": {"app.py", ""},
		"version_locations":   {"alembic.ini", "[alembic]\nversion_locations = a b\n", "db/env.py", "", "db/versions/a.py", ""},
	} {
		if _, err := Project(write(t, files...)).state(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v", err)
		}
	}
	if _, err := Project(write(t, "app.py", ""), Reads("gone")).state(); !os.IsNotExist(err) {
		t.Errorf("%v", err)
	}
}

func TestWithDatabase(t *testing.T) {
	for url, want := range map[string]string{
		"postgresql://h":                      "postgresql://h/x",
		"postgresql://h/":                     "postgresql://h/x",
		"postgresql://h/a%20b?sslmode=prefer": "postgresql://h/x?sslmode=prefer",
		"postgresql://h?sslmode=prefer":       "postgresql://h/x?sslmode=prefer",
		"postgresql+asyncpg://u:p/w?d@h:5/a":  "postgresql+asyncpg://u:p/w?d@h:5/x",
		"postgresql://u@[::1]:5/a":            "postgresql://u@[::1]:5/x",
		"postgresql:///a?host=/run":           "postgresql:///x?host=/run",
		"postgresql://u:p/w?d@":               "postgresql://u:p/w?d@/x",
	} {
		if got, err := withDatabase(url, "x"); got != want || err != nil {
			t.Errorf("%s becomes %s, %v", url, got, err)
		}
	}
	for url, want := range map[string]string{
		"h":                          "is not a URL",
		"postgresql://h/a?dbname=b":  "in a parameter",
		"mysql://u:verysecret@h/a":   "PostgreSQL",
		"postgresql://u:verysecret@": "",
	} {
		_, err := withDatabase(url, "x")
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) || err != nil && strings.Contains(err.Error(), "verysecret") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestUpgradeThatFails(t *testing.T) {
	s := serve(t)
	for want, script := range map[string]string{
		"exit status 3\nnot so\n": "#!/bin/sh\necho not so; exit 3\n",
		"does env.py connect":     "#!/bin/sh\nexit 0\n",
		"no such file":            "#!/nowhere\n",
	} {
		dir := write(t, "alembic/env.py", "", "alembic/versions/a.py", "", "reflex", script)
		command := filepath.Join(dir, "reflex")
		if err := os.Chmod(command, 0o755); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time from memory
			if _, err := s.filled(Project(dir, Command(command))); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v", err)
			}
		}
	}
	if left, err := s.list(t.Context(), "true"); err != nil || len(left) > 0 {
		t.Errorf("%v are left, %v", left, err)
	}
}

// A process that ends without its cleanups leaves databases, which the next one drops.
func TestDropsWhatAKilledProcessLeft(t *testing.T) {
	url := pgtest.Shared(t).NewDatabase(t)
	first, err := newServer(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := first.clone(t.Context(), "template1"); err != nil {
		t.Fatal(err)
	}
	second := connect(t, url)
	if left, err := second.list(t.Context(), "true"); err != nil || len(left) != 1 {
		t.Errorf("%v while it is in use, %v", left, err)
	}
	first.pool.Close()
	if err := first.holder.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The server gives the lock free when it notices.
	if err := second.lock(t.Context(), "pg_advisory_lock", first.prefix); err != nil {
		t.Fatal(err)
	}
	if err := second.lock(t.Context(), "pg_advisory_unlock", first.prefix); err != nil {
		t.Fatal(err)
	}
	third := connect(t, url)
	if left, err := third.list(t.Context(), "true"); err != nil || len(left) != 0 {
		t.Errorf("%v are left, %v", left, err)
	}
}

func TestNoServerIsAnError(t *testing.T) {
	t.Setenv(EnvURL, "")
	if _, _, err := clone(t.Context(), Project(".")); err == nil || !strings.Contains(err.Error(), EnvURL+" is not set") {
		t.Errorf("%v", err)
	}
}

func serve(t *testing.T) *server { return connect(t, pgtest.Shared(t).NewDatabase(t)) }

func connect(t *testing.T, url string) *server {
	t.Helper()
	s, err := newServer(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.pool.Close()
		_ = s.holder.Close(context.Background())
	})
	return s
}
