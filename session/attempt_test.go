package session_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/session"
	"github.com/reflex-dev/reflex-orm/tests/pgtest"
)

// A server with TLS, which is a primary: what target_session_attrs finds there must
// not change what sslmode says. The database named tls takes no other connection.
func TestTargetSessionAttrsKeepTLS(t *testing.T) {
	cert, key := certificate(t, "localhost")
	server := pgtest.Start(t, pgtest.File("server.crt", cert), pgtest.File("server.key", key), pgtest.Setting("ssl", "on"),
		pgtest.HBA("local all all trust", "hostnossl tls all all reject", "host all all all trust"))
	server.Exec(t, "postgres", "CREATE DATABASE tls")
	t.Setenv("HOME", t.TempDir())
	for _, attrs := range []string{"any", "read-write", "read-only", "primary", "standby", "prefer-standby"} {
		for mode, withTLS := range map[string]string{"disable": "false", "allow": "false", "": "true", "prefer": "true", "require": "true"} {
			query := "?target_session_attrs=" + attrs
			if mode != "" {
				query += "&sslmode=" + mode
			}
			t.Run(attrs+","+mode, func(t *testing.T) {
				if attrs == "read-only" || attrs == "standby" {
					_, err := session.OpenURL(t.Context(), server.URL("postgres")+query)
					if err == nil {
						t.Error("a primary was taken")
					}
					if _, err = session.OpenURL(t.Context(), server.URL("tls")+query); withTLS == "true" && strings.Contains(fmt.Sprint(err), "no encryption") {
						t.Errorf("asked again without TLS: %v", err)
					}
					return
				}
				pool := open(t, server.URL("postgres")+query)
				if got := ask(t, pool, "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()"); got != withTLS {
					t.Errorf("TLS is %s", got)
				}
			})
		}
	}
}

// The configuration of a connection makes another one, as the first did.
func TestTheAttemptEndsWithTheConnection(t *testing.T) {
	pool := open(t, pgtest.Shared(t).NewDatabase(t)+"?target_session_attrs=prefer-standby")
	for range 2 {
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
		again := conn.Conn().Config()
		if fmt.Sprintf("%p", again.AfterNetConnect) != fmt.Sprintf("%p", pool.Config().ConnConfig.AfterNetConnect) || again.AfterConnect != nil {
			t.Error("the attempt is still in the connection's configuration")
		}
	}
}
