package session_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reflex-dev/reflex-orm/session"
	"github.com/reflex-dev/reflex-orm/tests/pgtest"
)

func open(t *testing.T, url string, opts ...session.Option) *pgxpool.Pool {
	t.Helper()
	pool, err := session.OpenURL(t.Context(), url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func ask(t *testing.T, pool *pgxpool.Pool, sql string) (answer string) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

func TestOpenReadsTheVariable(t *testing.T) {
	t.Setenv(session.EnvURL, pgtest.Shared(t).NewDatabase(t))
	pool, err := session.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if got := ask(t, pool, "SELECT current_user::text"); got != pgtest.User {
		t.Errorf("connected as %s", got)
	}
}

func TestEveryDriversURLConnects(t *testing.T) {
	base := pgtest.Shared(t).NewDatabase(t)
	for _, driver := range []string{"", "+psycopg", "+psycopg2", "+asyncpg", "+pg8000"} {
		open(t, strings.Replace(base, "postgresql", "postgresql"+driver, 1))
	}
}

func TestScramPasswords(t *testing.T) {
	server := pgtest.Start(t, pgtest.HBA("local all all trust", "host all all 127.0.0.1/32 scram-sha-256"))
	for i, password := range []string{"p@ss", "a+b", "a/b", "a b", "100%", "a#b", `q'"\`, "ünïcödé 😀", "a?b&c=d", ":", "%40",
		"secret²", "µm½", "ﬁ", "se\u00adcret", "\u00ad", "a\u00a0b", "a\u200bb", "a\u200db", "ＡＢＣ", "e\u0301", "\u212b", "\u0675",
		"א²א", "א²", "א1", "²\u0221", "²\u0007", "²\ue000"} {
		role := "odd" + strconv.Itoa(i)
		server.Exec(t, "postgres", "CREATE ROLE "+role+" LOGIN PASSWORD '"+strings.ReplaceAll(password, "'", "''")+"'")
		escaped := strings.ReplaceAll(url.QueryEscape(password), "+", "%20")
		address := fmt.Sprintf("postgresql://%s:%s@127.0.0.1:%d/postgres", role, escaped, server.Port)
		pool := open(t, address)
		if got := ask(t, pool, "SELECT current_user::text"); got != role {
			t.Errorf("connected as %s", got)
		}
		_, err := session.OpenURL(t.Context(), strings.Replace(address, escaped, "wrong"+secret, 1))
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("a wrong password: %v", err)
		}
	}
}

// A password that doesn't go by SCRAM goes as it is.
func TestOtherPasswordsAreSentAsTheyAre(t *testing.T) {
	server := pgtest.Start(t, pgtest.HBA("local all all trust", "host all plain 127.0.0.1/32 password", "host all all 127.0.0.1/32 md5"))
	server.Exec(t, "postgres", "SET password_encryption = md5; CREATE ROLE hashed LOGIN PASSWORD 'µm\u00ad½'; CREATE ROLE plain LOGIN PASSWORD 'µm\u00ad½'")
	server.Exec(t, "postgres", "CREATE ROLE scram LOGIN PASSWORD 'µm\u00ad½'")
	for _, role := range []string{"hashed", "plain", "scram"} {
		open(t, fmt.Sprintf("postgresql://%s:%s@127.0.0.1:%d/postgres", role, url.QueryEscape("µm\u00ad½"), server.Port))
	}
}

// PostgreSQL takes it as it is, since it is from the right and from the left; pgx
// would make one character of e and its accent.
func TestAPasswordThatPgxWouldChange(t *testing.T) {
	server := pgtest.Start(t, pgtest.HBA("local all all trust", "host all all 127.0.0.1/32 scram-sha-256"))
	server.Exec(t, "postgres", "CREATE ROLE odd LOGIN PASSWORD 'e\u0301א'")
	_, err := session.OpenURL(t.Context(), fmt.Sprintf("postgresql://odd:%s@127.0.0.1:%d/postgres", url.QueryEscape("e\u0301א"), server.Port),
		session.WithWait(time.Hour))
	if err == nil || !strings.Contains(err.Error(), "NFC") {
		t.Errorf("%v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	server := pgtest.Shared(t)
	t.Setenv("PGPORT", strconv.Itoa(server.Port))
	file := fmt.Sprintf("%s/.s.PGSQL.%d", server.Socket, server.Port)
	for _, address := range []string{
		"postgresql://app@/postgres?host=" + server.Socket,
		"postgresql+asyncpg://app@/postgres?host=" + server.Socket,
		"postgresql+asyncpg://app@/postgres?host=" + file,
		"postgresql+pg8000://app@/postgres?unix_sock=" + file,
	} {
		if got := ask(t, open(t, address), "SELECT coalesce(inet_client_addr()::text, 'socket')"); got != "socket" {
			t.Errorf("%s came over %s", address, got)
		}
	}
}

func TestRunTimeParameters(t *testing.T) {
	pool := open(t, pgtest.Shared(t).NewDatabase(t)+
		"?options=-csearch_path%3Dx&application_name=my+app&keepalives_idle=30&tcp_user_timeout=5000")
	if got := ask(t, pool, "SELECT current_setting('search_path')"); got != "x" {
		t.Errorf("search_path is %s", got)
	}
	if got := ask(t, pool, "SELECT current_setting('application_name')"); got != "my app" {
		t.Errorf("application_name is %s", got)
	}
}

// A router of CockroachDB reads --cluster, and a PgBouncer is told to ignore options:
// neither knows a parameter that was made of them.
func TestOptionsAreSentAsTheyAreWritten(t *testing.T) {
	server := pgtest.Shared(t)
	through := pgtest.PgBouncer(t, server, server.URL("postgres"), "session", "ignore_startup_parameters = options,extra_float_digits")
	pool := open(t, through+"?options=--cluster%3Dshop%20-csearch_path%3Dx&connect_timeout=2.5")
	ask(t, pool, "SELECT 'here'")
	if got := pool.Config().ConnConfig.RuntimeParams["options"]; got != "--cluster=shop -csearch_path=x" {
		t.Errorf("options is %q", got)
	}
}

// certificate makes one for the names, signed by itself.
func certificate(t *testing.T, names ...string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func TestVerifyFull(t *testing.T) {
	cert, key := certificate(t, "localhost")
	server := pgtest.Start(t, pgtest.File("server.crt", cert), pgtest.File("server.key", key), pgtest.Setting("ssl", "on"))
	roots := filepath.Join(t.TempDir(), "root.crt")
	if err := os.WriteFile(roots, cert, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", t.TempDir())
	address := func(host, query string) string {
		return fmt.Sprintf("postgresql://app@%s:%d/postgres?hostaddr=127.0.0.1&%s", host, server.Port, query)
	}
	pool := open(t, address("localhost", "sslmode=verify-full&sslrootcert="+roots))
	if got := ask(t, pool, "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()"); got != "true" {
		t.Errorf("TLS: %s", got)
	}
	open(t, address("elsewhere", "sslmode=verify-ca&sslrootcert="+roots))
	for name, bad := range map[string]string{
		"another host's name":  address("elsewhere", "sslmode=verify-full&sslrootcert="+roots),
		"no root certificates": address("localhost", "sslmode=verify-full"),
	} {
		if _, err := session.OpenURL(t.Context(), bad, session.WithWait(time.Hour)); err == nil {
			t.Errorf("verify-full connected with %s", name)
		}
	}
	t.Setenv("PGSSLROOTCERT", roots)
	open(t, fmt.Sprintf("postgresql+asyncpg://app@localhost:%d/postgres?ssl=verify-full", server.Port))
}

func TestTLSRequiredOfAPlainServer(t *testing.T) {
	base := pgtest.Shared(t).NewDatabase(t)
	if _, err := session.OpenURL(t.Context(), base+"?sslmode=require"); err == nil {
		t.Error("sslmode=require connected without TLS")
	}
	t.Setenv("PGSSLMODE", "require")
	if _, err := session.OpenURL(t.Context(), base+"?sslmode="); err == nil {
		t.Error("an empty sslmode overrode PGSSLMODE=require")
	}
}

func TestReadWriteFindsThePrimary(t *testing.T) {
	primary := pgtest.Start(t)
	replica := pgtest.Replica(t, primary)
	another := pgtest.Shared(t)
	for _, c := range []struct {
		target      string
		first, then *pgtest.Server
		reached     *pgtest.Server
	}{
		{"read-write", replica, primary, primary},
		{"standby", primary, replica, replica},
		{"prefer-standby", primary, replica, replica},
		{"prefer-standby", primary, another, primary}, // asyncpg takes either
	} {
		for _, driver := range []string{"psycopg", "asyncpg"} {
			pool := open(t, fmt.Sprintf("postgresql+%s://app@/postgres?host=127.0.0.1:%d&host=127.0.0.1:%d&target_session_attrs=%s",
				driver, c.first.Port, c.then.Port, c.target))
			if got := ask(t, pool, "SELECT inet_server_port()::text"); got != strconv.Itoa(c.reached.Port) {
				t.Errorf("%s, %s: reached port %s, want %d", driver, c.target, got, c.reached.Port)
			}
		}
	}
}

func TestWaitForALateServer(t *testing.T) {
	server := pgtest.Start(t)
	server.Stop(syscall.SIGINT)
	if _, err := session.OpenURL(t.Context(), server.URL("postgres")); err == nil {
		t.Fatal("a stopped server answered")
	}
	refused := make(chan struct{}) // a first try has failed
	var once sync.Once
	opened := make(chan error)
	go func() {
		pool, err := session.OpenURL(t.Context(), server.URL("postgres"), func(c *pgxpool.Config) error {
			dial := c.ConnConfig.DialFunc
			c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := dial(ctx, network, address)
				if err != nil {
					once.Do(func() { close(refused) })
				}
				return conn, err
			}
			return nil
		}, session.WithWait(time.Minute))
		if err == nil {
			pool.Close()
		}
		opened <- err
	}()
	<-refused
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
}

func TestWaitEnds(t *testing.T) {
	server := pgtest.Start(t)
	if _, err := session.OpenURL(t.Context(), server.URL("nowhere"), session.WithWait(time.Hour)); err == nil ||
		!strings.Contains(err.Error(), "3D000") {
		t.Errorf("a database that isn't there: %v", err)
	}
	server.Stop(syscall.SIGINT)
	if _, err := session.OpenURL(t.Context(), server.URL("postgres"), session.WithWait(100*time.Millisecond)); err == nil {
		t.Error("a stopped server answered")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := session.OpenURL(ctx, server.URL("postgres"), session.WithWait(time.Hour)); err == nil {
		t.Error("a cancelled context opened a pool")
	}
}

func TestPoolOutlivesARestart(t *testing.T) {
	server := pgtest.Start(t)
	pool := open(t, server.URL("postgres"), session.WithMaxConns(2))
	ask(t, pool, "SELECT 'before'")
	server.Restart(t)
	// A connection that died is found out by its first use, and replaced.
	for range 3 {
		var answer string
		if err := pool.QueryRow(t.Context(), "SELECT 'after'").Scan(&answer); err == nil {
			return
		}
	}
	t.Error("the pool did not recover")
}

func TestOptions(t *testing.T) {
	calls := []string{}
	after := func(name string) session.Option {
		return session.WithAfterConnect(func(context.Context, *pgx.Conn) error {
			calls = append(calls, name)
			return nil
		})
	}
	tracer := &countingTracer{}
	pool := open(t, pgtest.Shared(t).NewDatabase(t), session.WithMaxConns(1), session.WithTracer(tracer),
		after("first"), after("second"), session.WithSearchPath("My Schema", "public"))
	if got := ask(t, pool, "SELECT current_setting('search_path')"); got != `"My Schema", "public"` {
		t.Errorf("search_path is %s", got)
	}
	if pool.Config().MaxConns != 1 || strings.Join(calls, " ") != "first second" || tracer.queries == 0 {
		t.Errorf("%d connections, after connect: %v, %d queries traced", pool.Config().MaxConns, calls, tracer.queries)
	}
	for name, option := range map[string]session.Option{"no connections": session.WithMaxConns(0), "no schemas": session.WithSearchPath()} {
		if _, err := session.OpenURL(t.Context(), "postgresql://h", option); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

type countingTracer struct{ queries int }

func (c *countingTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.queries++
	return ctx
}
func (*countingTracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func TestPgBouncerInTransactionMode(t *testing.T) {
	server := pgtest.Shared(t)
	through := pgtest.PgBouncer(t, server, server.URL("postgres"), "transaction", "default_pool_size = 2")
	pool := open(t, through, session.WithPgBouncer(), session.WithMaxConns(8))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for i := range 50 {
				err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
					var n int
					if err := tx.QueryRow(t.Context(), "SELECT $1::int", i).Scan(&n); err != nil {
						return err
					}
					if n != i {
						return fmt.Errorf("%d came back as %d", i, n)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}
