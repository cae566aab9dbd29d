package session_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/reflex-dev/reflex-orm/session"
	"github.com/reflex-dev/reflex-orm/tests/pgtest"
)

func write(t *testing.T, file string, text []byte, mode os.FileMode) string {
	t.Helper()
	os.Remove(file) // one of before, that its owner may not write
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAPasswordFileForAllIsIgnored(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no mode")
	}
	t.Setenv("HOME", t.TempDir())
	file := filepath.Join(t.TempDir(), "passwords")
	t.Setenv("PGPASSFILE", file)
	for mode, want := range map[os.FileMode]string{0o600: secret, 0o400: secret, 0o644: "", 0o640: "", 0o601: ""} {
		for _, driver := range []string{"psycopg", "psycopg2", "asyncpg"} {
			write(t, file, []byte("h:5432:u:u:"+secret+"\n"), mode)
			said := lines(t)
			config, err := session.ParseURL("postgresql+" + driver + "://u@h")
			if err != nil {
				t.Fatal(err)
			}
			if got := config.ConnConfig.Password; got != want {
				t.Errorf("%s, %o: password %q", driver, mode, got)
			}
			if want == "" {
				if line := <-said; !strings.Contains(line, file) || !strings.Contains(line, "WARN") || strings.Contains(line, secret) {
					t.Error(line)
				}
			}
			if _, err := session.ParseURL("postgresql+" + driver + "://u:p@h"); err != nil { // which reads no file
				t.Fatal(err)
			}
			if len(said) > 0 {
				t.Errorf("%s, %o: %s", driver, mode, <-said)
			}
		}
	}
}

// clientCertificates is a server that asks the user app for a certificate, which
// the test gives.
func clientCertificates(t *testing.T) (url, cert, key string) {
	t.Helper()
	serverCert, serverKey := certificate(t, "localhost")
	clientCert, clientKey := certificate(t, pgtest.User)
	server := pgtest.Start(t, pgtest.File("server.crt", serverCert), pgtest.File("server.key", serverKey), pgtest.File("client.crt", clientCert),
		pgtest.Setting("ssl", "on"), pgtest.Setting("ssl_ca_file", "client.crt"),
		pgtest.HBA("local all all trust", "hostssl all all all cert", "hostnossl all all all reject"))
	t.Setenv("HOME", t.TempDir())
	dir := t.TempDir()
	return server.URL("postgres"), write(t, filepath.Join(dir, "app.crt"), clientCert, 0o644), write(t, filepath.Join(dir, "app.key"), clientKey, 0o600)
}

func TestAPrivateKeyForAllIsRefused(t *testing.T) {
	address, cert, key := clientCertificates(t)
	query := fmt.Sprintf("?sslmode=require&sslcert=%s&sslkey=%s", cert, key)
	open(t, address+query)
	service := write(t, filepath.Join(t.TempDir(), "service"), fmt.Appendf(nil, "[shop]\nsslcert=%s\nsslkey=%s\n", cert, key), 0o600)
	t.Setenv("PGSERVICEFILE", service)
	byService := "?sslmode=require&service=shop"
	open(t, address+byService)
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{
		address + query, address + byService,
		strings.Replace(address+query, "postgresql", "postgresql+psycopg2", 1),
		address + strings.Replace(query, "require", "prefer", 1), // which goes on without TLS, as libpq does
	} {
		if _, err := session.OpenURL(t.Context(), url, session.WithWait(time.Hour)); err == nil || !strings.Contains(err.Error(), "sslkey, "+key) {
			t.Errorf("%s: %v", url, err)
		}
	}
	t.Setenv("PGSSLCERT", cert)
	t.Setenv("PGSSLKEY", key)
	open(t, strings.Replace(address, "postgresql", "postgresql+asyncpg", 1)+"?ssl=require") // which doesn't look
	if err := os.Chmod(key, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err := session.OpenURL(t.Context(), address+"?sslmode=require")
	if (err == nil) != (os.Geteuid() == 0) { // the file's owner
		t.Errorf("0640: %v", err)
	}
}

func TestEncryptedPrivateKeys(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl, which encrypts the keys, is not there")
	}
	address, cert, key := clientCertificates(t)
	encrypted := key + ".encrypted"
	url := fmt.Sprintf("%s?sslmode=require&sslcert=%s&sslkey=%s&sslpassword=%s", address, cert, encrypted, secret)
	for _, how := range []string{
		"pkcs8 -topk8", "pkcs8 -topk8 -v2 aes-128-cbc", "pkcs8 -topk8 -v2 aes-192-cbc -v2prf hmacWithSHA512", "pkcs8 -topk8 -v2 des3 -v2prf hmacWithSHA1",
		"ec -aes256", // as OpenSSL 1 wrote it, which pgx reads
	} {
		args := append(strings.Fields(how), "-in", key, "-out", encrypted, "-passout", "pass:"+secret)
		if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", how, err, out)
		}
		if err := os.Chmod(encrypted, 0o600); err != nil {
			t.Fatal(err)
		}
		if pool, err := session.OpenURL(t.Context(), url); err != nil {
			t.Errorf("%s: %v", how, err)
		} else {
			pool.Close()
		}
		for _, wrong := range []string{"", "x" + secret} {
			if _, err := session.ParseURL(strings.Replace(url, "sslpassword="+secret, "sslpassword="+wrong, 1)); err == nil ||
				strings.HasPrefix(how, "pkcs8") && !strings.Contains(err.Error(), "sslpassword") || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v", how, err)
			}
		}
	}
	args := []string{"pkcs8", "-topk8", "-scrypt", "-in", key, "-out", encrypted, "-passout", "pass:" + secret}
	if err := exec.Command("openssl", args...).Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := session.ParseURL(url); err == nil || !strings.Contains(err.Error(), "sslkey") || !strings.Contains(err.Error(), "openssl pkcs8") {
		t.Errorf("scrypt: %v", err)
	}
}
