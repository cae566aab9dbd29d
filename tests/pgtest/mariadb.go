package pgtest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// A MariaDBServer is one MariaDB, with a user of the name and the password that
// PostgreSQL's superuser has here.
type MariaDBServer struct{ Port int }

// MariaDB starts a MariaDB, which ends with the test. Where there is none and
// none can be installed, the test is skipped. options are mariadbd's.
func MariaDB(t testing.TB, options ...string) *MariaDBServer {
	t.Helper()
	notShort(t)
	if findMariaDB() == "" {
		InstallDebian(t, "mariadb-server-core")
	}
	binary := findMariaDB()
	if binary == "" {
		t.Skip("Debian's package mariadb-server-core holds no mariadbd")
	}
	dir, err := os.MkdirTemp("", "mariadb-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &MariaDBServer{}
	if s.Port, err = freePort(); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	var owner *account
	if os.Geteuid() == 0 { // which MariaDB refuses to run as
		if owner, err = unprivileged(); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{dir, data} {
			if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	log := &bytes.Buffer{}
	run := func(args ...string) *process {
		cmd := exec.Command(binary, append([]string{
			"--no-defaults", "--datadir=" + data, "--innodb-buffer-pool-size=16M",
			"--tmpdir=" + dir, // where a server that starts removes another's temporary tables
			"--innodb-log-file-size=4M", "--innodb-flush-log-at-trx-commit=0",
		}, args...)...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
		cmd.SysProcAttr = attributes(owner)
		if args[0] == "--bootstrap" {
			cmd.Stdin = bytes.NewReader(systemTables(t))
		}
		p, err := spawn(cmd)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	bootstrap := run("--bootstrap")
	if <-bootstrap.ended; bootstrap.err != nil {
		t.Fatalf("mariadbd --bootstrap: %v\n%s", bootstrap.err, log)
	}
	users := filepath.Join(dir, "users.sql")
	text := fmt.Sprintf("CREATE USER %s@'%%' IDENTIFIED BY '%s';\nGRANT ALL ON *.* TO %[1]s@'%%';\n", User, Password)
	if err := os.WriteFile(users, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if owner != nil { // whatever the umask is
		if err := os.Chown(users, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	server := run(append([]string{"--init-file=" + users, "--port=" + strconv.Itoa(s.Port), "--bind-address=127.0.0.1",
		"--socket=" + filepath.Join(dir, "socket"), "--skip-name-resolve"}, options...)...)
	t.Cleanup(func() {
		_ = server.signal(syscall.SIGKILL)
		<-server.ended
	})
	for deadline := time.Now().Add(time.Minute); !s.answers(); time.Sleep(20 * time.Millisecond) {
		select {
		case <-server.ended:
			t.Fatalf("MariaDB did not start: %s", log)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("MariaDB does not answer: %s", log)
		}
	}
	return s
}

// URL is the URL of a database, for a driver of SQLAlchemy's such as mysql+pymysql.
func (s *MariaDBServer) URL(driver, database string) string {
	return fmt.Sprintf("%s://%s:%s@127.0.0.1:%d/%s", driver, User, Password, s.Port, database)
}

// answers is whether the server greets who connects.
func (s *MariaDBServer) answers() bool {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port))
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, err = conn.Read(make([]byte, 1))
	return err == nil
}

// systemTables is what mariadb-install-db feeds to the server, which itself
// needs programs of the client's package.
func systemTables(t testing.TB) []byte {
	t.Helper()
	text := []byte("CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n")
	for _, name := range []string{"tables", "tables_data"} {
		files, _ := filepath.Glob("/usr/share/m*/m*_system_" + name + ".sql") // mysql, and since 11 mariadb
		if len(files) == 0 {
			t.Skipf("MariaDB's system_%s.sql is not in /usr/share", name)
		}
		more, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, more...)
	}
	return text
}

func findMariaDB() string {
	for _, name := range []string{"mariadbd", "/usr/sbin/mariadbd"} {
		if file, err := exec.LookPath(name); err == nil {
			return file
		}
	}
	return ""
}
