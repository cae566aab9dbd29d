package session

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// libpq is what psycopg and psycopg2 make of a URL: SQLAlchemy's
// _PGDialect_common_psycopg.create_connect_args, then libpq's own rules.
func (u *sqlURL) libpq() (*target, error) {
	t := &target{driver: u.driverName(), keywords: u.base(), password: u.password, readsEnv: true}
	hosts, ports, err := u.multihost()
	if err != nil {
		return nil, err
	}
	for _, p := range u.query {
		name := p.name
		if u.driver == "psycopg2" && name == "database" { // psycopg2.extensions.make_dsn
			if u.database != "" || u.get("dbname") != nil {
				return nil, u.refuse(name, "is given beside dbname")
			}
			name = "dbname"
		}
		if u.driver != "psycopg2" && (name == "prepare_threshold" || name == "autocommit") {
			continue // of the Python client: pgx prepares, and commits, by its own rules
		}
		if name == "requiressl" { // libpq's old name for it
			name, p.values[0] = "sslmode", map[bool]string{true: "require", false: "prefer"}[strings.HasPrefix(p.values[0], "1")]
		}
		if _, ok := libpqKeywords[name]; !ok {
			return nil, u.refuse(name, unknownParameter)
		}
		if name == "host" || name == "port" && hosts != nil {
			continue
		}
		if len(p.values) > 1 {
			return nil, u.refuse(name, repeated)
		}
		if name == "password" {
			t.password = p.values[0]
			continue
		}
		t.keywords[name] = p.values[0]
	}
	if err := t.connectTimeout(); err != nil {
		return nil, err
	}
	if hosts != nil {
		t.keywords["host"] = strings.Join(hosts, ",")
		if len(ports) == 1 && ports[0] == "0" && u.get("port") != nil {
			return nil, u.refuse("port", "is not a port's number") // SQLAlchemy hands this 0 on, and no other
		}
		for i := range ports {
			if ports[i] == "0" {
				ports[i] = ""
			}
		}
		if list := strings.Join(ports, ","); list != "" {
			t.keywords["port"] = list
		}
	}
	t.libpqEnv()
	return t, nil
}

// connectTimeout reads the timeout as the driver does. psycopg applies it itself
// (timeout_from_conninfo of psycopg/conninfo.py): any number, without its fraction,
// and at least 2 seconds. psycopg2 leaves it to libpq: a whole number.
func (t *target) connectTimeout() error {
	text, given := t.keywords["connect_timeout"]
	if !given && !t.usesService() {
		text = os.Getenv("PGCONNECT_TIMEOUT")
		given = text != ""
	}
	if !given {
		return nil
	}
	whole, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
	seconds := int(whole)
	if t.driver != "psycopg2" {
		var number float64
		number, err = strconv.ParseFloat(strings.TrimSpace(text), 64)
		if math.IsNaN(number) || math.Abs(number) > math.MaxInt32 || strings.ContainsAny(text, "xX") {
			err = strconv.ErrRange
		}
		if seconds = int(number); seconds > 0 {
			seconds = max(seconds, 2)
		}
	}
	if err != nil {
		return fmt.Errorf("session: %s: connect_timeout is not a number of seconds that the driver takes", t.driver)
	}
	t.keywords["connect_timeout"] = strconv.Itoa(max(seconds, 0)) // below 0 is without limit too
	return nil
}

func (t *target) usesService() bool {
	return t.keywords["service"] != "" || os.Getenv("PGSERVICE") != ""
}

// libpqEnv adds the variables that libpq reads and pgx doesn't. A service file
// goes before them, and pgx reads that later, so then they are left out.
func (t *target) libpqEnv() {
	if t.usesService() {
		return
	}
	for name, k := range libpqKeywords {
		value := os.Getenv(k.env)
		if _, set := t.keywords[name]; k.env != "" && value != "" && !set {
			t.keywords[name] = value
		}
	}
}

// keyword is a connection parameter of libpq 18 (PostgreSQL's manual, 32.1.2).
// pgx sends those that it doesn't know to the server: apply puts them where they
// belong instead. It is nil for those that pgx reads itself.
type keyword struct {
	env   string // where pgx doesn't read the variable
	apply func(conn *pgx.ConnConfig, name, value string) error
}

var libpqKeywords = map[string]keyword{
	"service": {}, "user": {}, "password": {}, "passfile": {}, "dbname": {}, "host": {}, "port": {},
	"connect_timeout": {}, "channel_binding": {}, "require_auth": {}, "target_session_attrs": {},
	"min_protocol_version": {}, "max_protocol_version": {}, "krbsrvname": {},
	"sslmode": {}, "sslnegotiation": {}, "sslcert": {}, "sslkey": {}, "sslcertmode": {},
	"sslpassword": {}, "sslrootcert": {}, "sslsni": {},

	"application_name": {apply: send}, "replication": {apply: send},
	"client_encoding":           {"PGCLIENTENCODING", onlyUTF8},
	"fallback_application_name": {apply: fallbackName},
	"options":                   {apply: send},          // as it was written: a pooler, or a router, reads it
	"hostaddr":                  {"PGHOSTADDR", ignore}, // see setHostAddr
	"keepalives":                {apply: ignore},        // these five: see setDialer
	"keepalives_idle":           {apply: ignore},
	"keepalives_interval":       {apply: ignore},
	"keepalives_count":          {apply: ignore},
	"tcp_user_timeout":          {apply: ignore},
	"ssl_min_protocol_version":  {"PGSSLMINPROTOCOLVERSION", tlsVersion},
	"ssl_max_protocol_version":  {"PGSSLMAXPROTOCOLVERSION", tlsVersion},
	"sslcompression":            {apply: ignore}, // OpenSSL does none any more
	"gssencmode":                {"PGGSSENCMODE", allowOnly("disable", "prefer")},
	"gsslib":                    {apply: ignore}, // for GSSAPI, which needs pgconn.RegisterGSSProvider
	"gssdelegation":             {apply: allowOnly("0")},
	"load_balance_hosts":        {"PGLOADBALANCEHOSTS", allowOnly("disable")},
	"sslcrl":                    {"PGSSLCRL", allowOnly()},
	"sslcrldir":                 {"PGSSLCRLDIR", allowOnly()},
	"requirepeer":               {"PGREQUIREPEER", allowOnly()},
	"scram_client_key":          {apply: allowOnly()},
	"scram_server_key":          {apply: allowOnly()},
	"oauth_issuer":              {apply: allowOnly()},
	"oauth_client_id":           {apply: allowOnly()},
	"oauth_client_secret":       {apply: allowOnly()},
	"oauth_scope":               {apply: allowOnly()},
	"sslkeylogfile":             {apply: allowOnly()},
}

// environmentOptions are libpq's variables for settings of the server.
var environmentOptions = map[string]string{"PGDATESTYLE": "datestyle", "PGTZ": "timezone", "PGGEQO": "geqo"}

// check holds the keywords against libpq's rules that pgx doesn't enforce.
func (t *target) check() error {
	mode := t.keywords["sslmode"]
	if mode == "" && t.readsEnv {
		mode = os.Getenv("PGSSLMODE")
	}
	modes := []string{"", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
	if !slices.Contains(modes, mode) {
		return fmt.Errorf("session: sslmode is not one of %s", strings.Join(modes[1:], ", "))
	}
	if err := t.checkRoots(mode); err != nil {
		return err
	}
	negotiation := t.keywords["sslnegotiation"]
	if negotiation == "" && t.readsEnv {
		negotiation = os.Getenv("PGSSLNEGOTIATION")
	}
	if negotiation == "direct" && slices.Index(modes, mode) < 4 && !(t.usesService() && mode == "") {
		return errors.New("session: sslnegotiation=direct needs sslmode=require or more")
	}
	if t.driver != "psycopg" && t.driver != "psycopg2" && t.driver != "psycopg_async" {
		if os.Getenv("PGSERVICE") != "" && t.keywords["service"] == "" {
			return fmt.Errorf("session: PGSERVICE is set, which %s doesn't read and pgx does: unset it", t.driver)
		}
		return nil
	}
	if addresses := t.keywords["hostaddr"]; addresses != "" && t.keywords["host"] == "" && os.Getenv("PGHOST") == "" {
		if t.usesService() {
			return errors.New("session: hostaddr with a service file needs host in the URL as well")
		}
		t.keywords["host"] = addresses
	}
	return nil
}

// checkRoots holds sslrootcert against libpq's rules. A file that isn't there
// matters to verify-ca and verify-full alone, and pgx wants it in any mode.
func (t *target) checkRoots(mode string) error {
	roots, given := t.keywords["sslrootcert"]
	if !given {
		roots = os.Getenv("PGSSLROOTCERT")
	}
	switch {
	case roots == "":
		return nil
	case roots == "system" && t.driver == "asyncpg":
		return errors.New("session: asyncpg takes PGSSLROOTCERT=system for a file's name, and pgx doesn't")
	case roots == "system" && mode != "" && mode != "verify-full":
		return errors.New("session: sslrootcert=system needs sslmode=verify-full")
	case roots != "system" && !strings.HasPrefix(mode, "verify-"):
		if _, err := os.Stat(roots); errors.Is(err, os.ErrNotExist) {
			t.keywords["sslrootcert"] = ""
		}
	}
	return nil
}

// finish deals with the keywords that pgx would send to the server.
func (t *target) finish(conn *pgx.ConnConfig) error {
	params := conn.RuntimeParams
	conn.RuntimeParams = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if name == "timezone" && t.keywords[name] == "" {
			continue // PGTZ, below
		}
		if _, given := t.keywords[name]; !given && !t.readsEnv {
			continue
		}
		if t.driver == "asyncpg" && t.keywords[name] == "" {
			continue // PGAPPNAME and PGOPTIONS, which asyncpg doesn't read
		}
		k, known := libpqKeywords[name]
		if !known || k.apply == nil {
			return fmt.Errorf("session: %s: the parameter %s %s", t.driver, quoteName(name), unknownParameter)
		}
		if err := k.apply(conn, name, params[name]); err != nil {
			return fmt.Errorf("session: %s: %w", t.driver, err)
		}
	}
	if t.readsEnv && t.driver != "asyncpg" {
		for env, name := range environmentOptions {
			if value := os.Getenv(env); value != "" && value != "default" && conn.RuntimeParams[name] == "" {
				conn.RuntimeParams[name] = value
			}
		}
	}
	if low, high := params["ssl_min_protocol_version"], params["ssl_max_protocol_version"]; high != "" && low > high {
		return errors.New("session: ssl_min_protocol_version is above ssl_max_protocol_version")
	}
	if err := setHostAddr(conn, params["hostaddr"]); err != nil {
		return err
	}
	return setDialer(conn, params)
}

func ignore(*pgx.ConnConfig, string, string) error { return nil }

func send(conn *pgx.ConnConfig, name, value string) error {
	conn.RuntimeParams[name] = value
	return nil
}

// allowOnly takes the values that change nothing, and refuses all others.
func allowOnly(values ...string) func(*pgx.ConnConfig, string, string) error {
	return func(_ *pgx.ConnConfig, name, value string) error {
		if slices.Contains(values, value) {
			return nil
		}
		return fmt.Errorf("the parameter %q %s", name, notInPgx)
	}
}

// onlyUTF8 is for client_encoding: pgx reads and writes UTF-8 alone.
func onlyUTF8(conn *pgx.ConnConfig, name, value string) error {
	switch strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(value)) {
	case "utf8", "unicode":
		return send(conn, name, value)
	case "auto": // of the locale
		return nil
	}
	return fmt.Errorf("the parameter %q %s: its encoding is always UTF8", name, notInPgx)
}

func fallbackName(conn *pgx.ConnConfig, _, value string) error {
	if conn.RuntimeParams["application_name"] == "" { // which sorts before this one
		conn.RuntimeParams["application_name"] = value
	}
	return nil
}

func tlsVersion(conn *pgx.ConnConfig, name, value string) error {
	version, ok := map[string]uint16{
		"TLSv1": tls.VersionTLS10, "TLSv1.0": tls.VersionTLS10, "TLSv1.1": tls.VersionTLS11,
		"TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13,
	}[strings.ReplaceAll(value, "_", ".")]
	if !ok {
		return fmt.Errorf("the parameter %q is not one of TLSv1, TLSv1.1, TLSv1.2, TLSv1.3", name)
	}
	for _, c := range tlsConfigs(conn) {
		if name == "ssl_min_protocol_version" {
			c.MinVersion = version
		} else {
			c.MaxVersion = version
		}
	}
	return nil
}
