package session

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// EnvURL is the variable that names the database.
const EnvURL = "REFLEX_DB_URL"

var (
	// ErrNoURL is that there is no URL: the variable is unset, empty or blank.
	ErrNoURL = errors.New("session: no database URL: set " + EnvURL +
		" to one such as postgresql://user:password@host:5432/database")

	// ErrNotPostgres is a URL of another database, such as sqlite:///app.db.
	ErrNotPostgres = errors.New("not a PostgreSQL database")
)

// ConfigFromEnv is [ParseURL] of the variable [EnvURL]; it is [ErrNoURL] if that
// is unset or blank.
func ConfigFromEnv() (*pgxpool.Config, error) {
	return ParseURL(os.Getenv(EnvURL))
}

// ParseURL reads a SQLAlchemy URL as SQLAlchemy and the driver that it names do
// (see the package's documentation), and returns pgx's configuration for the same
// connection. Blanks and new lines around it are cut off. It connects to nothing; it
// reads the environment, .pgpass, service and certificate files where the driver would.
//
// errors.Is tells [ErrNoURL] and [ErrNotPostgres] apart from a URL that is wrong.
func ParseURL(url string) (*pgxpool.Config, error) {
	t, err := readURL(url)
	if err != nil {
		return nil, err
	}
	return t.config()
}

func readURL(url string) (*target, error) {
	if url = trim(url); url == "" {
		return nil, ErrNoURL
	}
	u, err := splitURL(url)
	if err != nil {
		return nil, err
	}
	return u.target()
}

// target is what a driver makes of a URL, in libpq's keywords.
type target struct {
	driver   string
	keywords map[string]string
	password string // here and not among the keywords, which pgx keeps as text

	// readsEnv is that the driver takes libpq's variables for what is unset, as pgx
	// does for every connection.
	readsEnv bool
	noCache  bool // prepares no statements on the server
}

func (t *target) config() (*pgxpool.Config, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	t.checkPassfile()
	key, err := t.takeClientKey()
	if err != nil {
		return nil, err
	}
	conn, err := t.parse()
	if err != nil {
		return nil, err
	}
	if conn.Database == "" { // the server's rule, needed by .pgpass and by our callers
		t.keywords["dbname"] = conn.User
		if conn, err = t.parse(); err != nil {
			return nil, err
		}
	}
	if t.password != "" || t.driver == "pg8000" { // which reads no password elsewhere
		conn.Password = t.password
	}
	if err := t.finish(conn); err != nil {
		return nil, err
	}
	requireRoots(conn)
	key.give(conn)
	watchAttempts(conn)
	pool, err := emptyConfig("localhost")
	if err != nil {
		return nil, err
	}
	pool.ConnConfig = conn
	if t.noCache {
		noStatementCache(conn)
	}
	return pool, nil
}

// emptyConfig is pgx's configuration without anything of the environment or of files.
func emptyConfig(host string) (*pgxpool.Config, error) {
	pool, err := pgxpool.ParseConfig("host='" + host + "' port=5432 user=x dbname=x connect_timeout=0 sslmode=disable " +
		"sslcertmode=disable sslrootcert='' target_session_attrs=any")
	return pool, parseError(err)
}

// parse hands the keywords to pgx, with no secret among them.
func (t *target) parse() (*pgx.ConnConfig, error) {
	var text strings.Builder
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	sslPassword := ""
	for _, name := range slices.Sorted(maps.Keys(t.keywords)) {
		if name == "sslpassword" {
			sslPassword = t.keywords[name]
			continue
		}
		fmt.Fprintf(&text, "%s='%s' ", name, quote.Replace(t.keywords[name]))
	}
	var options pgx.ParseConfigOptions
	if sslPassword != "" {
		options.GetSSLPassword = func(context.Context) string { return sslPassword }
	}
	conn, err := pgx.ParseConfigWithOptions(text.String(), options)
	return conn, parseError(err)
}

// parseError is pgx's complaint without the connection string it was given.
func parseError(err error) error {
	var parse *pgconn.ParseConfigError
	if !errors.As(err, &parse) {
		return err
	}
	parse.ConnString = ""
	reason := strings.TrimPrefix(parse.Error(), "cannot parse ``: ")
	return fmt.Errorf("session: the database URL, with the PG* variables and the service file: %s", reason)
}

var errNoRoots = &localError{"session: sslmode verify-ca and verify-full need root certificates: set sslrootcert " +
	"or PGSSLROOTCERT to a file of them (or to system), or put one at ~/.postgresql/root.crt"}

// requireRoots has verify-ca and verify-full refuse to connect without a file of
// root certificates, as libpq and asyncpg do. pgx would trust the system's.
func requireRoots(conn *pgx.ConnConfig) {
	missing := false
	for _, c := range tlsConfigs(conn) {
		if c.RootCAs == nil && (!c.InsecureSkipVerify || c.VerifyPeerCertificate != nil) {
			c.RootCAs = x509.NewCertPool() // which no certificate is signed by
			missing = true
		}
	}
	if !missing {
		return
	}
	dial := conn.DialFunc
	conn.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if network != "unix" {
			return nil, errNoRoots
		}
		return dial(ctx, network, address)
	}
}
