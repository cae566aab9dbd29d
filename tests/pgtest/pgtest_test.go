package pgtest

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestReplicaFollows(t *testing.T) {
	primary := Start(t)
	replica := Replica(t, primary)
	primary.Exec(t, "postgres", "CREATE TABLE t (i int)")
	conn := replica.Connect(t, "postgres")
	defer conn.Close(context.Background())
	deadline := time.Now().Add(30 * time.Second)
	for {
		var there bool
		err := conn.QueryRow(context.Background(), "SELECT to_regclass('t') IS NOT NULL").Scan(&there)
		if err != nil {
			t.Fatal(err)
		}
		if there {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the table did not arrive")
		}
		time.Sleep(20 * time.Millisecond) // replication has no notification
	}
}

func TestServerSurvivesARestart(t *testing.T) {
	server := Start(t, Setting("shared_buffers", "4MB"))
	server.Exec(t, "postgres", "CREATE TABLE t (i int)")
	server.Restart(t)
	server.Exec(t, "postgres", "DROP TABLE t")
}

// TestServerOfAClosedHome: the repository is in a home that only root enters, and
// the server runs as another user.
func TestServerOfAClosedHome(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root runs the server as another user")
	}
	wheel, err := fromWheel()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	site := filepath.Dir(filepath.Dir(filepath.Dir(wheel)))
	if err := os.Symlink(site, filepath.Join(home, "site")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(home, 0o700); err != nil {
		t.Fatal(err)
	}
	server, err := newFrom(filepath.Join(home, "site", wheelBin))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Remove()
		if _, err := os.Stat(server.bin); !os.IsNotExist(err) {
			t.Errorf("%s is left behind: %v", server.bin, err)
		}
	})
	server.Exec(t, "postgres", "SELECT 1")
}
