// Package urls holds session.ParseURL against SQLAlchemy and its drivers.
//
// golden.json is what they make of the URLs in cases.txt. This writes it anew:
//
//	go test ./tests/urls -run TestGolden -update
package urls

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reflex-dev/reflex-orm/session"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

var update = flag.Bool("update", false, "ask SQLAlchemy, and write golden.json")

// meaning is an answer of meaning.py.
type meaning struct {
	URL      string            `json:"url"`
	Env      map[string]string `json:"env"`
	Error    string            `json:"error"`
	Advice   string            `json:"advice"` // what the Python doors say of its text
	Hosts    [][2]string       `json:"hosts"`
	User     string            `json:"user"`
	Password string            `json:"password"`
	Database string            `json:"database"`
	SSLMode  string            `json:"sslmode"`
	Params   map[string]string `json:"params"`
	Timeout  *int              `json:"timeout"` // in seconds, where the driver takes one from the URL
}

// stricter are the URLs that session refuses and Python takes, and why.
var stricter = map[string]string{
	"postgresql://u:p@h/db?application_name=it's\\\n":             "drop that part",       // drops the new line
	"postgresql://u:p@h/db?application_name=a&application_name=b": "given more than once", // sends "['a', 'b']"
	"postgresql+asyncpg://u:p@h/db?ssl=require&ssl=disable":       "given more than once", // takes a list as no TLS
}

func python(t testing.TB) string {
	requirements, err := os.ReadFile("requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	return venv.Get(t, venv.Newest(t), strings.Fields(string(requirements))...).Bin("python")
}

func TestGolden(t *testing.T) {
	if *update {
		input, err := os.ReadFile("cases.txt")
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(python(t), "meaning.py")
		cmd.Stdin, cmd.Stderr, cmd.Env = bytes.NewReader(input), os.Stderr, venv.CleanEnv()
		output, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("golden.json", output, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden []meaning
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden) < 120 {
		t.Fatalf("%d cases only", len(golden))
	}
	for _, want := range golden {
		t.Run(strings.ReplaceAll(want.URL, "/", "|"), func(t *testing.T) {
			clearEnv(t)
			for name, value := range want.Env {
				t.Setenv(name, value)
			}
			config, err := session.ParseURL(want.URL)
			compare(t, want, config, err)
		})
	}
}

func compare(t *testing.T, want meaning, config *pgxpool.Config, err error) {
	t.Helper()
	if reason, ok := stricter[want.URL]; ok && err != nil && strings.Contains(err.Error(), reason) {
		return
	}
	if (err != nil) != (want.Error != "") {
		t.Fatalf("Python: error %q; session: %v", want.Error, err)
	}
	if err != nil {
		if errors.Is(err, session.ErrNotPostgres) != (want.Error == "NotPostgres") {
			t.Fatalf("Python: %s; session: %v", want.Error, err)
		}
		if !strings.Contains(err.Error(), want.Advice) {
			t.Errorf("Python says: %s; session: %v", want.Advice, err)
		}
		return
	}
	conn := config.ConnConfig
	got := meaning{User: conn.User, Password: conn.Password, Database: conn.Database, Params: conn.RuntimeParams}
	add := func(host string, port uint16) {
		address := [2]string{host, strconv.Itoa(int(port))}
		if n := len(got.Hosts); n == 0 || got.Hosts[n-1] != address { // one with TLS, one without
			got.Hosts = append(got.Hosts, address)
		}
	}
	add(conn.Host, conn.Port)
	for _, fallback := range conn.Fallbacks {
		add(fallback.Host, fallback.Port)
	}
	if me, _ := user.Current(); want.User == "$USER" {
		want.User = me.Username
		want.Database = strings.ReplaceAll(want.Database, "$USER", me.Username)
	}
	standard, err := pgconn.ParseConfig("host='' port=5432 sslmode=disable connect_timeout=0") // libpq's is compiled into it
	if err != nil {
		t.Fatal(err)
	}
	for i := range want.Hosts {
		if want.Hosts[i][0] == "" {
			want.Hosts[i][0] = standard.Host
		}
	}
	want.Hosts = slices.Compact(want.Hosts) // as add has it
	if got.User != want.User || got.Password != want.Password || got.Database != want.Database {
		t.Errorf("user, password, database: %q %q %q, want %q %q %q",
			got.User, got.Password, got.Database, want.User, want.Password, want.Database)
	}
	if !slices.Equal(got.Hosts, want.Hosts) {
		t.Errorf("hosts: %v, want %v", got.Hosts, want.Hosts)
	}
	if !maps.Equal(got.Params, want.Params) {
		t.Errorf("run-time parameters: %v, want %v", got.Params, want.Params)
	}
	if want.Timeout != nil && int(conn.ConnectTimeout.Seconds()) != *want.Timeout {
		t.Errorf("timeout: %s, want %d s", conn.ConnectTimeout, *want.Timeout)
	}
	if mode := sslMode(config); mode != "" && mode != want.SSLMode {
		t.Errorf("sslmode: %s, want %s", mode, want.SSLMode)
	}
}

// sslMode is the sslmode that a configuration acts by, or "" for sockets alone.
func sslMode(config *pgxpool.Config) string {
	conn := config.ConnConfig
	if strings.HasPrefix(conn.Host, "/") {
		return ""
	}
	fallback := len(conn.Fallbacks) > 0 && conn.Fallbacks[0].Host == conn.Host && conn.Fallbacks[0].Port == conn.Port
	switch {
	case conn.TLSConfig == nil && fallback:
		return "allow"
	case conn.TLSConfig == nil:
		return "disable"
	case fallback:
		return "prefer"
	case conn.TLSConfig.VerifyPeerCertificate != nil:
		return "verify-ca"
	case !conn.TLSConfig.InsecureSkipVerify:
		return "verify-full"
	}
	return "require"
}

func clearEnv(t testing.TB) {
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "PG") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("HOME", t.TempDir())
}
