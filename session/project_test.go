package session_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/session"
	"github.com/reflex-dev/reflex-orm/tests/pgtest"
)

// project is a directory with this pyproject.toml.
func project(t *testing.T, text string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	write(t, filepath.Join(dir, "pyproject.toml"), []byte(text), 0o644)
	return dir
}

func tool(url string) string {
	return fmt.Sprintf("[project]\nname = 'shop'\n\n[tool.reflex]\ndb_url = %q\n", url)
}

// An explicit URL, then the variable, then the project.
func TestWhereTheURLComesFrom(t *testing.T) {
	server := pgtest.Shared(t)
	explicit, variable, file := server.NewDatabase(t), server.NewDatabase(t), server.NewDatabase(t)
	dir := project(t, tool(file))
	reached := func(opened func() (string, error), want string) {
		t.Helper()
		name, err := opened()
		if err != nil || !strings.HasSuffix(want, "/"+name) {
			t.Errorf("reached %s, want %s: %v", name, want, err)
		}
	}
	byOpen := func() (string, error) {
		pool, err := session.Open(t.Context(), session.WithProject(dir), session.WithMaxConns(1))
		if err != nil {
			return "", err
		}
		defer pool.Close()
		if n := pool.Config().MaxConns; n != 1 {
			t.Errorf("%d connections", n)
		}
		return ask(t, pool, "SELECT current_database()"), nil
	}
	t.Setenv(session.EnvURL, variable)
	reached(func() (string, error) {
		return ask(t, open(t, explicit, session.WithProject(dir)), "SELECT current_database()"), nil
	}, explicit)
	reached(byOpen, variable)
	for _, blank := range []string{"", " \n"} {
		t.Setenv(session.EnvURL, blank)
		reached(byOpen, file)
	}
}

func TestNoURLInTheProject(t *testing.T) {
	t.Setenv(session.EnvURL, "")
	for name, dir := range map[string]string{
		"no directory": filepath.Join(t.TempDir(), "nowhere"),
		"no table":     project(t, "[project]\nname = 'shop'\n"),
		"no entry":     project(t, "[tool.reflex]\n"),
		"another case": project(t, "[tool.Reflex]\ndb_url = 'postgresql://h/d'\n"),
		"blank":        project(t, tool(" ")),
		"no tool":      project(t, "tool = 7\n"),
	} {
		_, err := session.Open(t.Context(), session.WithProject(dir), session.WithMaxConns(1))
		if !errors.Is(err, session.ErrNoURL) || !strings.Contains(err.Error(), filepath.Join(dir, "pyproject.toml")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := session.Open(t.Context(), session.WithMaxConns(1)); !errors.Is(err, session.ErrNoURL) {
		t.Errorf("without a project: %v", err)
	}
}

func TestAProjectThatIsWrong(t *testing.T) {
	t.Setenv(session.EnvURL, "")
	for text, want := range map[string]string{
		"[tool.reflex]\ndb_url = postgresql://u:" + secret + "@h/d\n":  "line 2",
		"[tool.reflex]\ndb_url = 'postgresql://u:" + secret + "@h/d\n": "is not TOML",
		"[tool.reflex]\ndb_url = 7\n":                                  "is not a text",
		"[tool.reflex]\ndb_url = ['" + secret + "']\n":                 "is not a text",
		tool("sqlite:///" + secret):                                    "not a PostgreSQL database",
		tool("postgresql://u:" + secret + "@h:x/d"):                    "port",
	} {
		_, err := session.Open(t.Context(), session.WithProject(project(t, text)))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "pyproject.toml") || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", text, err)
		}
	}
	_, err := session.Open(t.Context(), session.WithMaxConns(1), session.WithProject(project(t, tool("postgresql://h/d"))))
	if err == nil || !strings.Contains(err.Error(), "first option") {
		t.Errorf("not the first: %v", err)
	}
}

func TestAPasswordInTheProjectIsNamed(t *testing.T) {
	t.Setenv(session.EnvURL, "")
	t.Setenv("HOME", t.TempDir())
	for url, warned := range map[string]bool{
		"postgresql://u:" + secret + "@127.0.0.1:1/d":                  true,
		"postgresql+asyncpg://u@127.0.0.1:1/d?password=" + secret:      true,
		"postgresql://u@127.0.0.1:1/d?sslpassword=" + secret:           true,
		"postgresql://u@127.0.0.1:1/d?application_name=shop":           false,
		"postgresql+pg8000://u@127.0.0.1:1/d?application_name=nothing": false,
	} {
		said := lines(t)
		dir := project(t, tool(url))
		if _, err := session.Open(t.Context(), session.WithProject(dir)); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", url, err)
		}
		if !warned && len(said) == 0 {
			continue
		}
		if len(said) != 1 {
			t.Errorf("%s: %d lines", url, len(said))
			continue
		}
		if line := <-said; !warned || !strings.Contains(line, "WARN") || !strings.Contains(line, dir) || strings.Contains(line, secret) {
			t.Errorf("%s: %s", url, line)
		}
	}
}
