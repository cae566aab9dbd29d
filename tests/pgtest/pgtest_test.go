package pgtest

import (
	"context"
	"os"
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
