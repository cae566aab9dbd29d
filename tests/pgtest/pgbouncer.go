package pgtest

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// PgBouncer starts a PgBouncer before the server, in the given pool mode, and
// returns the URL of the database through it. Lines are added to its
// [pgbouncer] section. Where there is none and none can be installed, the test
// is skipped.
func PgBouncer(t testing.TB, s *Server, databaseURL, mode string, lines ...string) string {
	t.Helper()
	binary := pgbouncerBinary(t)
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "pgbouncer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	config := fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%d user=%s password=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = %s
`, s.Port, User, Password, port, mode)
	for _, line := range lines {
		config += line + "\n"
	}
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if s.owner != nil {
		for _, path := range []string{dir, file} {
			if err := os.Chown(path, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	log := &bytes.Buffer{}
	cmd := exec.Command(binary, file)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.SysProcAttr = attributes(s.owner)
	process, err := spawn(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.signal(syscall.SIGKILL)
		<-process.ended
	})
	through, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	through.Host = fmt.Sprintf("127.0.0.1:%d", port)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := pgx.Connect(context.Background(), through.String()+"?default_query_exec_mode=simple_protocol")
		if err == nil {
			_ = conn.Close(context.Background())
			return through.String()
		}
		select {
		case <-process.ended:
			t.Fatalf("pgbouncer did not start: %s", log)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("pgbouncer does not answer: %v", err)
		}
	}
}

func pgbouncerBinary(t testing.TB) string {
	t.Helper()
	if findPgBouncer() == "" {
		InstallDebian(t, "pgbouncer")
	}
	found := findPgBouncer()
	if found == "" {
		t.Skip("Debian's package pgbouncer holds no pgbouncer")
	}
	return found
}

func findPgBouncer() string {
	if file, err := exec.LookPath("pgbouncer"); err == nil {
		return file
	}
	if file, err := exec.LookPath("/usr/sbin/pgbouncer"); err == nil {
		return file
	}
	return ""
}
