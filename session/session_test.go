package session_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reflex-dev/reflex-orm/session"
	"github.com/reflex-dev/reflex-orm/tests/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestNoURL(t *testing.T) {
	for _, url := range []string{"", " ", "\n"} {
		t.Setenv(session.EnvURL, url)
		if _, err := session.ConfigFromEnv(); !errors.Is(err, session.ErrNoURL) {
			t.Errorf("%q: %v", url, err)
		}
		if _, err := session.Open(context.Background()); !errors.Is(err, session.ErrNoURL) {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestNotPostgresNamesTheDialect(t *testing.T) {
	for url, dialect := range map[string]string{"sqlite:///app.db": "sqlite", "mysql+pymysql://u:p@h/db": "mysql"} {
		_, err := session.ParseURL(url)
		if !errors.Is(err, session.ErrNotPostgres) || !strings.Contains(err.Error(), dialect) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestErrorsNameTheParameter(t *testing.T) {
	for url, name := range map[string]string{
		"postgresql://h/d?requirepeer=postgres":      "requirepeer",
		"postgresql://h/d?sslcrl=/x":                 "sslcrl",
		"postgresql://h/d?gssencmode=require":        "gssencmode",
		"postgresql://h/d?client_encoding=latin1":    "client_encoding",
		"postgresql://h/d?load_balance_hosts=random": "load_balance_hosts",
		"postgresql://h/d?nonsense=1":                "nonsense",
		"postgresql+asyncpg://h/d?command_timeout=5": "command_timeout",
		"postgresql+asyncpg://h/d?sslmode=require":   "sslmode",
		"postgresql+pg8000://u@h/d?ssl_context=1":    "ssl_context",
		"postgresql://h/d?sslnegotiation=direct":     "sslnegotiation",
		"postgres://h/d":                             "postgresql://",
		"postgresql+psycopg3://h/d":                  "psycopg3",
	} {
		if _, err := session.ParseURL(url); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestWhatSQLAlchemyHandsOnAndCannotWork(t *testing.T) {
	clear := []string{"PGHOSTADDR", "PGSERVICE"}
	for _, name := range clear {
		t.Setenv(name, "")
	}
	for url, advice := range map[string]string{
		"postgresql://u:secret@%2Fvar%2Frun/d":                         "?host=/directory",
		"postgresql+asyncpg://u:secret@%2fvar%2Frun/d":                 "?host=/directory",
		"postgresql+pg8000://u:secret@%2Fvar%2Frun/d":                  "?unix_sock=/directory/.s.PGSQL.5432",
		"postgresql://u:secret@/d?host=[::1]:5433":                     "?host=::1&port=5432",
		"postgresql://u:secret@/d?host=[::1]:5433&host=[::2]:5433":     "?host=::1&port=5432",
		"postgresql+psycopg2://u:secret@/d?host=h1:5432,h2:5433":       "?host=h1:5432&host=h2:5433",
		"postgresql+asyncpg://u:secret@/d?host=h1:5432,h2:5433":        "?host=h1:5432&host=h2:5433",
		"postgresql://u:secret@/d?host=/var/run/.s.PGSQL.5432":         "?host=/directory&port=5432",
		"postgresql://u:secret@h/my\nd":                                "%0A",
		"postgresql+asyncpg://u:secret@h/my\r\nd":                      "%0A",
		"\n postgresql://u:secret@/d?host=[::1]:5433&sslmode=disable ": "?host=::1&port=5432",
	} {
		_, err := session.ParseURL(url)
		if err == nil || !strings.Contains(err.Error(), advice) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestBlanksAroundTheURLAreCutOff(t *testing.T) {
	for _, url := range []string{"postgresql://u:p@h/d\n", "  postgresql://u:p@h/d?sslmode=disable\r\n", "\tpostgresql+pg8000://u:p@h/d "} {
		t.Setenv(session.EnvURL, url)
		config, err := session.ConfigFromEnv()
		if err != nil || config.ConnConfig.Database != "d" {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestClientSettingsStayWithTheClient(t *testing.T) {
	for _, url := range []string{
		"postgresql://u:p@h/d?keepalives=1&keepalives_idle=30&keepalives_interval=5&keepalives_count=3",
		"postgresql://u:p@h/d?gssencmode=prefer&hostaddr=127.0.0.1&prepare_threshold=0&sslcompression=0",
		"postgresql+asyncpg://u:p@h/d?prepared_statement_cache_size=50&gsslib=gssapi",
		"postgresql+pg8000://u:p@h/d?tcp_keepalive=1",
	} {
		config, err := session.ParseURL(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if params := config.ConnConfig.RuntimeParams; len(params) > 0 {
			t.Errorf("%s: sends %v", url, params)
		}
	}
}

// secret is what no text may hold.
const secret = "hunter2Xyzzy"

func holdsSecret(config *pgxpool.Config, err error, url string) string {
	texts := []string{session.Redact(url)}
	if err != nil {
		texts = append(texts, err.Error(), fmt.Sprintf("%+v %#v", err, err))
	}
	if config != nil {
		texts = append(texts, fmt.Sprintf("%v %+v %#v", config, config, *config), config.ConnString())
	}
	for _, text := range texts {
		if strings.Contains(text, secret) {
			return text
		}
	}
	return ""
}

func TestSecretsStaySecret(t *testing.T) {
	for _, url := range []string{
		"postgresql://u:" + secret + "@h/db",
		"postgresql://u:" + secret + "@h:x/db",
		"postgresql://u:p@" + secret + "@h/db",
		"postgresql://u:" + secret,
		"postgresql://h/db?password=" + secret,
		"postgresql://h/db?sslpassword=" + secret,
		"postgresql://h/db?pass%77ord=" + secret,
		"postgresql://h/db?oauth_client_secret=" + secret,
		"postgresql+asyncpg://u:" + secret + "@h/db?sslmode=require",
		"postgres://u:" + secret + "@h/db",
		"mysql://u:" + secret + "@h/db",
		"mssql+pyodbc://?odbc_connect=PWD%3D" + secret,
		"u:" + secret + "@h",
		"host=h password=" + secret,
		"postgresql://u:" + secret + "@h/db?sslmode=x&sslrootcert=/nowhere",
		"postgresql://u:" + secret + "@h/db?sslmode=verify-full&sslrootcert=/nowhere",
		"postgresql://[u:" + secret + "]@h/db",
	} {
		config, err := session.ParseURL(url)
		if text := holdsSecret(config, err, url); text != "" {
			t.Errorf("%s\n%s", url, text)
		}
	}
}

func TestRedactShowsTheRest(t *testing.T) {
	for url, want := range map[string]string{
		"postgresql+asyncpg://u:p@h:5433/db?ssl=require": "postgresql+asyncpg://u:***@h:5433/db?ssl=require",
		"postgresql://u@[::1]/db?host=a:1&host=b&x=1":    "postgresql://u@[::1]/db?host=a:1&host=b&***",
		"sqlite:///data/app.db":                          "sqlite:///data/app.db",
		"postgresql://h/db?options=-csearch_path%3Dx":    "postgresql://h/db?options=***",
		"postgresql://us/er:p@h/db":                      "postgresql://us/***",
		"nonsense":                                       "***",
		"":                                               "***",
	} {
		if got := session.Redact(url); got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}

// FuzzParseURL puts a secret where SQLAlchemy finds the password. A URL that is
// wrong somewhere else mustn't show it either.
func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{"", "@h/db", "@h:x/db?sslmode=y", "%40@[::1]:1/db?host=a,b&port=1", "#?x=y@h"} {
		f.Add("postgresql", "u", seed)
		f.Add("postgresql+asyncpg", "", seed)
		f.Add("mysql", "u", seed)
	}
	f.Fuzz(func(t *testing.T, scheme, user, rest string) {
		url := scheme + "://" + user + ":" + secret + rest
		config, err := session.ParseURL(url)
		if text := holdsSecret(config, err, url); text != "" {
			t.Errorf("%q shows the password: %s", url, text)
		}
		_, _ = session.ParseURL(rest)
		_ = session.Redact(rest)
	})
}

// A service that imports session gets pgx and two small modules, and neither cgo nor Python.
func TestImportsLittle(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	output, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(output)) {
		path := strings.TrimSpace(line)
		if path == "github.com/reflex-dev/reflex-orm/session" || strings.HasPrefix(path, "github.com/jackc/") ||
			path == "github.com/xdg-go/stringprep" || strings.HasPrefix(path, "github.com/BurntSushi/toml") ||
			strings.HasPrefix(path, "golang.org/x/") { // pgx's own
			continue
		}
		t.Errorf("session needs %s", path)
	}
}

// An empty module that gets the package builds with CGO_ENABLED=0.
func TestBuildsInAnEmptyModule(t *testing.T) {
	dir := t.TempDir()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"main.go": "package main\n\nimport (\n\t\"context\"\n\n\t\"github.com/reflex-dev/reflex-orm/session\"\n)\n\n" +
			"func main() {\n\tpool, err := session.Open(context.Background())\n\tif err != nil {\n\t\tpanic(err)\n\t}\n\tpool.Close()\n}\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"mod", "init", "example.com/service"},
		{"mod", "edit", "-replace", "github.com/reflex-dev/reflex-orm=" + root},
		{"mod", "tidy"},
		{"build", "-o", "service", "."},
	} {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod")
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, output)
		}
	}
}

// .pgpass and service files serve the drivers that read them, and no other.
func TestFilesOfTheDrivers(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"pgpass":  "h:5432:u:u:" + secret + "\n",
		"service": "[shop]\nhost=sh\nport=6000\ndbname=sdb\nkeepalives_idle=9\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv(map[string]string{"pgpass": "PGPASSFILE", "service": "PGSERVICEFILE"}[name], file)
	}
	for driver, want := range map[string]string{"psycopg": secret, "psycopg2": secret, "asyncpg": secret, "pg8000": ""} {
		config, err := session.ParseURL("postgresql+" + driver + "://u@h")
		if err != nil {
			t.Fatal(err)
		}
		if got := config.ConnConfig.Password; got != want {
			t.Errorf("%s: password %q, want %q", driver, got, want)
		}
	}
	config, err := session.ParseURL("postgresql://u:p@/?service=shop")
	if err != nil {
		t.Fatal(err)
	}
	conn := config.ConnConfig
	if conn.Host != "sh" || conn.Port != 6000 || conn.Database != "sdb" || len(conn.RuntimeParams) > 0 {
		t.Errorf("%s:%d/%s, sends %v", conn.Host, conn.Port, conn.Database, conn.RuntimeParams)
	}
	t.Setenv("PGSERVICE", "shop")
	if _, err := session.ParseURL("postgresql+pg8000://u@h"); err == nil || !strings.Contains(err.Error(), "PGSERVICE") {
		t.Errorf("pg8000 beside PGSERVICE: %v", err)
	}
	config, err = session.ParseURL("postgresql://u:p@/")
	if err != nil || config.ConnConfig.Host != "sh" {
		t.Errorf("PGSERVICE: %v", err)
	}
}
