package tests

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// A parityCase is a list of shell commands that is run twice, each time in a
// directory of its own: once `alembic` in them is Alembic, and once it is
// `reflex db`. Every command must print the same and write the same.
//
// Alembic has the database's URL from the configuration, in the place of the
// one that its templates have there; `reflex db` has it from REFLEX_DB_URL.
type parityCase struct {
	name  string
	url   string            // empty is that of SQLite
	env   []string          // NAME=VALUE
	files map[string]string // written before the first command
	run   []string          // one that begins with "!" must fail in both; what it prints is each one's own
}

// templateURL is what Alembic's templates have for a database.
const templateURL = "driver://user:pass@localhost/dbname"

// TestParity shows that `reflex db` is Alembic.
func TestParity(t *testing.T) {
	env := venv.Get(t, venv.Newest(t), requirements...)
	asAlembic := t.TempDir()
	wrapper := "#!/bin/sh\nexec '" + filepath.Join(reflexDir(t), "reflex") + "' db \"$@\"\n"
	if err := os.WriteFile(filepath.Join(asAlembic, "alembic"), []byte(wrapper), 0o755); err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir() // shared: with it, a run does not ask the interpreter again
	for _, c := range parityCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := c.url
			if url == "" {
				url = "sqlite:///app.db"
			}
			common := append([]string{
				"LANG=C.UTF-8", "VIRTUAL_ENV=" + env.Dir, "XDG_CACHE_HOME=" + cache,
				"PYTHONHASHSEED=0", // Alembic prints some sets
			}, c.env...)
			path := env.Bin("") + string(os.PathListSeparator) + os.Getenv("PATH")
			alembic := newSide(t, c, url, append(common, "PATH="+path))
			reflex := newSide(t, c, url, append(common,
				"PATH="+asAlembic+string(os.PathListSeparator)+path, "REFLEX_DB_URL="+url))
			for _, line := range c.run {
				want, got := alembic.run(t, line), reflex.run(t, line)
				if strings.HasPrefix(line, "!") {
					if want.ok || got.ok {
						t.Errorf("%s\nmust fail; ok in Alembic: %v, in reflex db: %v", line, want.ok, got.ok)
					}
				} else if !want.ok || !got.ok {
					t.Errorf("%s\nAlembic (ok: %v):\n%s\nreflex db (ok: %v):\n%s", line, want.ok, want.stderr, got.ok, got.stderr)
				} else {
					same(t, line+"\nstdout", want.stdout, got.stdout)
					want, got := comparable(t, line, want.stderr, got.stderr)
					same(t, line+"\nstderr", want, got)
				}
				if strings.Contains(line, "init -t") { // its side has a template's URL now
					alembic.setURL(t)
				}
			}
			want, got := alembic.files(t), reflex.files(t)
			names := maps.Clone(want)
			maps.Copy(names, got)
			for _, name := range slices.Sorted(maps.Keys(names)) {
				same(t, name, want[name], got[name])
			}
		})
	}
}

var (
	sumsUp   = regexp.MustCompile(`^alembic (-\S+ |second.ini |\w+ )*?(upgrade|downgrade) `)
	isSummed = regexp.MustCompile(`(?m)^(\d+ revisions?( taken back)? in \d+\.\d+ s; |The project has no revisions in \S+; )?[^ ].* (is|are) at \S+( \(heads?\))?.*\n\z`)
	alembics = regexp.MustCompile(`(?m)^INFO +\[alembic\..*\n`)
)

// comparable is what of both stderrs must be the same. An upgrade or downgrade
// on a database ends with a line that sums it up, of `reflex db` alone; with -q
// there is none, and nothing of what Alembic logs below a warning.
func comparable(t *testing.T, line, want, got string) (string, string) {
	t.Helper()
	quiet, offline := strings.Contains(line, " -q "), strings.Contains(line, " --s")
	if quiet {
		return alembics.ReplaceAllString(want, ""), got
	}
	if sumsUp.MatchString(line) && !offline && !strings.Contains(line, "2>&-") {
		if !isSummed.MatchString(got) {
			t.Errorf("%s\nis not summed up:\n%s", line, got)
		}
		got = isSummed.ReplaceAllString(got, "")
	}
	return want, got
}

func same(t *testing.T, what, want, got string) {
	t.Helper()
	if want != got {
		t.Errorf("%s differs\nAlembic:\n%s\nreflex db:\n%s", what, want, got)
	}
}

// A side is one of the two directories.
type side struct {
	dir, url string
	env      []string
}

func newSide(t *testing.T, c parityCase, url string, env []string) side {
	t.Helper()
	s := side{dir: t.TempDir(), url: url}
	s.env = venv.CleanEnv(append(env, "HOME="+s.dir, "TMPDIR="+t.TempDir())...)
	for name, content := range c.files {
		file := filepath.Join(s.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

type ran struct {
	ok             bool
	stdout, stderr string
}

func (s side) run(t *testing.T, line string) ran {
	t.Helper()
	cmd := exec.Command("sh", "-c", strings.TrimPrefix(line, "!"))
	cmd.Dir, cmd.Env = s.dir, s.env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return ran{err == nil, s.normal(stdout.String()), s.normal(stderr.String())}
}

// setURL puts the URL into the configuration.
func (s side) setURL(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".ini" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		lines := regexp.MustCompile(`(?m)^sqlalchemy\.url = ` + regexp.QuoteMeta(templateURL) + `$`)
		content = lines.ReplaceAllLiteral(content, []byte("sqlalchemy.url = "+strings.ReplaceAll(s.url, "%", "%%")))
		return os.WriteFile(path, content, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

var (
	dates   = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?`)
	minutes = regexp.MustCompile(`\d{4}_\d\d_\d\d_\d{4}`)
)

// normal is text without what must differ: the directory, the time, and the
// URL in the configuration.
func (s side) normal(text string) string {
	if real, err := filepath.EvalSymlinks(s.dir); err == nil {
		text = strings.ReplaceAll(text, real, "DIR")
	}
	text = strings.ReplaceAll(text, s.dir, "DIR")
	text = strings.ReplaceAll(text, "sqlalchemy.url = "+strings.ReplaceAll(s.url, "%", "%%")+"\n", "sqlalchemy.url = "+templateURL+"\n")
	text = dates.ReplaceAllString(text, "DATE")
	return minutes.ReplaceAllString(text, "DATE")
}

// files are the names and contents of all that was written, but for databases
// and compiled Python, of which there is only the name.
func (s side) files(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(s.dir, path)
		if err != nil {
			return err
		}
		name = s.normal(name)
		switch filepath.Ext(name) {
		case ".db", ".pyc":
			found[name] = "binary"
			return nil
		}
		content, err := os.ReadFile(path)
		found[name] = s.normal(string(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
