package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// shells, each as a command without anybody's configuration, and what makes it
// complete a program's arguments.
var shells = []struct {
	name  string
	args  []string
	setUp string
}{
	{"bash", []string{"--norc", "--noprofile", "-i"}, "source <(%s completion bash)"},
	{"zsh", []string{"-f", "-i"}, "autoload -U compinit; compinit -u -D; source <(%s completion zsh)"},
	{"fish", []string{"--no-config", "-i"}, "%s completion fish | source"},
}

// completionProject has revisions that one letter tells apart, and needs no database.
func completionProject(t testing.TB) *project {
	t.Helper()
	p := newProject(t, "sqlite")
	down := "None"
	for i, id := range []string{"a0ffee01", "b0ffee02", "c0ffee03"} {
		text := fmt.Sprintf("\"\"\"this is revision %d\"\"\"\nrevision, down_revision = %q, %s\n", i+1, id, down)
		if i == 0 {
			text += "branch_labels = 'shop'\n"
		}
		if err := os.WriteFile(filepath.Join(p.dir, "alembic", "versions", id+".py"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		down = fmt.Sprintf("%q", id)
	}
	p.editINI(t, "[alembic]\n", "[elsewhere]\nscript_location = elsewhere\n[alembic]\n")
	if err := os.WriteFile(filepath.Join(p.dir, "zebra.ini"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p.url = ""
	return p
}

// What is typed before TAB, and the arguments that are there after it.
var completions = []struct{ typed, want string }{
	{"upg", "upgrade"},
	{"stat", "status"},
	{"-n els", "-n elsewhere"},
	{"-c zeb", "-c zebra.ini"},
	{"upgrade a", "upgrade a0ffee01"},
	{"upgrade +", "upgrade +1"},
	{"upgrade --lock-t", "upgrade --lock-timeout"},
	{"downgrade bas", "downgrade base"},
	{"merge a0ffee01 c", "merge a0ffee01 c0ffee03"},
	{"revision --head=b0", "revision --head=b0ffee02"},
	{"history -r a0ffee01:c0", "history -r a0ffee01:c0ffee03"},
	{"init -t mul", "init -t multidb"},
}

// Each shell completes what is typed into it, for both names of the command.
func TestCompletionInShells(t *testing.T) {
	completeInShells(t, goDir(t), "reflex", "reflex-db")
}

// The Python package has scripts of its own.
func TestCompletionOfTheConsoleScriptInShells(t *testing.T) {
	completeInShells(t, consoleDir(t), "reflex-db")
}

func completeInShells(t *testing.T, dir string, programs ...string) {
	for _, shell := range shells {
		t.Run(shell.name, func(t *testing.T) {
			t.Parallel()
			binary, err := exec.LookPath(shell.name)
			if err != nil {
				t.Skipf("no %s is installed", shell.name)
			}
			p := completionProject(t)
			bin := completionPrograms(t, dir, programs)
			cmd := exec.Command(binary, shell.args...)
			cmd.Dir = p.dir
			cache, err := os.UserCacheDir() // not in HOME, where the last TAB's process may still write to it
			if err != nil {
				t.Fatal(err)
			}
			cmd.Env = venv.CleanEnv("VIRTUAL_ENV="+p.python.Dir, "HOME="+t.TempDir(), "XDG_CACHE_HOME="+cache, "TERM=xterm", "LANG=C.UTF-8",
				"INPUTRC=/dev/null", "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
			terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 50, Cols: 200})
			if err != nil {
				t.Fatal(err)
			}
			screen := &output{}
			go func() { // until the shell has ended
				buffer := make([]byte, 4096)
				for {
					n, err := terminal.Read(buffer)
					_, _ = screen.Write(buffer[:n])
					if err != nil {
						return
					}
				}
			}()
			t.Cleanup(func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				_ = terminal.Close()
			})
			send := func(keys, pattern string) {
				t.Helper()
				found := screen.match(pattern)
				if _, err := terminal.WriteString(keys); err != nil {
					t.Fatal(err)
				}
				select {
				case <-found:
				case <-time.After(patience):
					t.Fatalf("typed %q, which did not lead to %q:\n%s", keys, pattern, screen)
				}
			}
			for _, program := range programs {
				send(fmt.Sprintf(shell.setUp+"; echo rea''dy-%s\r", program, program), "ready-"+program+"\r?\n")
			}
			for i, c := range completions {
				typed, name := "reflex db "+c.typed, "reflex"
				if i%2 == 1 || len(programs) == 1 {
					typed, name = "reflex-db "+c.typed, "reflex-db"
				}
				// A unique mark tells its answer from those before.
				send(fmt.Sprintf("%s\t MARK%d\r", typed, i), fmt.Sprintf(`GOT %s .*MARK%d\]`, name, i))
				want := fmt.Sprintf("GOT %s [%s MARK%d]", name, c.want, i)
				if !strings.Contains(screen.String(), want) {
					t.Errorf("typed %q: want %q in\n%s", typed, want, screen)
				}
			}
			command := map[string]string{"reflex": "reflex db", "reflex-db": "reflex-db"}[programs[0]]
			send(command+" upgrade \t\t", "this is revision 2")
		})
	}
}

// completionPrograms are programs that complete as the command does, and else
// say what they were called with.
func completionPrograms(t *testing.T, dir string, names []string) string {
	t.Helper()
	bin := t.TempDir()
	for _, name := range names {
		db := ""
		if name == "reflex" {
			db = "shift; "
		}
		script := fmt.Sprintf("#!/bin/sh\ncase $1 in\n__complete*|completion) exec %s \"$@\" ;;\nesac\n%secho \"GOT %s [$*]\"\n", filepath.Join(dir, name), db, name)
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// candidates is what `reflex __complete` prints; it must print nothing else and end with 0.
func (p *project) candidates(t testing.TB, args ...string) string {
	t.Helper()
	cmd := p.command(t)
	cmd.Args = append([]string{"reflex", "__complete"}, args...)
	run := startProcess(t, cmd).wantStatus(t, 0)
	if text := run.stderr.String(); text != "" {
		t.Errorf("completing %q has printed on stderr\n%s", args, text)
	}
	return run.stdout.String()
}

func TestCompletionKnowsTheRevisions(t *testing.T) {
	t.Parallel()
	p := completionProject(t)
	same(t, "upgrade", `head	the last revision
heads	the last revision of each branch
+1	one revision more
c0ffee03	this is revision 3 (shop) (head)
b0ffee02	this is revision 2 (shop)
a0ffee01	this is revision 1 (shop)
shop@head	the last revision of the branch shop
:36
`, p.candidates(t, "db", "upgrade", ""))
	for _, c := range []struct{ args, want string }{
		{"db downgrade -", "-1\tone revision less"},
		{"db -c zebra.ini -n ", ":"}, // no section with a script directory
		{"db -c ", ":0"},
		{"db -q upgrade --lock-timeout 5 sho", "shop@head"},
		{"db revision --head b", "b0ffee02"},
		{"db -C ", ":16"},
		{"db --each ", ":0"},
		{"db --each zebra.ini upgrade b", "b0ffee02"},
		{"db upgrade --each zebra.ini --jo", "--jobs"},
		{"db -", "--python\tthe interpreter"},
		{"db nothing ", ":36"},
		{"-C " + p.dir + " db show a", "a0ffee01"},
		{"db -C " + p.dir + " show a", "a0ffee01"},
	} {
		cmd := strings.Split(c.args, " ")
		if got := p.candidates(t, cmd...); !strings.Contains(got, c.want) {
			t.Errorf("completing %q has no %q:\n%s", c.args, c.want, got)
		}
	}
	if got := p.candidates(t, "db", "upgrade", "--"); strings.Contains(got, "--python") {
		t.Errorf("--python can't stand after Alembic's command:\n%s", got)
	}
}

// Where the project is broken, what is known without it is the answer, in silence.
func TestCompletionOfABrokenProject(t *testing.T) {
	for name, breaks := range map[string]func(p *project) error{
		"a revision that is no Python": func(p *project) error {
			return os.WriteFile(filepath.Join(p.dir, "alembic/versions/x.py"), []byte("def"), 0o644)
		},
		"a revision that ends the process": func(p *project) error {
			text := "import sys\nprint('noise')\nprint('noise', file=sys.stderr)\nsys.exit(3)\n"
			return os.WriteFile(filepath.Join(p.dir, "alembic/versions/x.py"), []byte(text), 0o644)
		},
		"a revision that writes to the terminal": func(p *project) error {
			text := "import os\nos.write(1, b'noise')\nos.write(2, b'noise')\n"
			return os.WriteFile(filepath.Join(p.dir, "alembic/versions/x.py"), []byte(text), 0o644)
		},
		"a configuration that is none": func(p *project) error {
			return os.WriteFile(filepath.Join(p.dir, "alembic.ini"), []byte("\x00[["), 0o644)
		},
		"no project": func(p *project) error {
			p.dir = filepath.Join(p.dir, "alembic")
			return nil
		},
		"no Python": func(p *project) error {
			p.python.Dir = filepath.Join(p.dir, "nothing")
			return nil
		},
		"no Alembic": func(p *project) error {
			p.python = venv.Get(t, venv.Newest(t))
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := completionProject(t)
			if err := breaks(p); err != nil {
				t.Fatal(err)
			}
			if got := p.candidates(t, "db", "upg"); !strings.HasPrefix(got, "upgrade\tapply") {
				t.Errorf("the commands are known without the project; completing has printed\n%s", got)
			}
			got := p.candidates(t, "db", "upgrade", "")
			if !strings.HasSuffix(got, ":36\n") || strings.Contains(got, "noise") {
				t.Errorf("completing has printed\n%s", got)
			}
		})
	}
}
