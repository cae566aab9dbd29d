package session

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// pg8000 is what SQLAlchemy's PGDialect_pg8000.create_connect_args and
// pg8000.dbapi.connect make of a URL. pg8000 reads no variables and no files, so
// everything that pgx would look for is given here.
func (u *sqlURL) pg8000() (*target, error) {
	t := &target{driver: "pg8000", password: u.password, keywords: map[string]string{
		"host": "localhost", "port": "5432", "dbname": "", "passfile": os.DevNull,
		"connect_timeout": "0", "target_session_attrs": "any", "channel_binding": "prefer", "require_auth": "",
		"sslmode": "prefer", "sslcert": "", "sslkey": "", "sslrootcert": "", "sslsni": "1", "sslcertmode": "allow",
		"sslnegotiation": "postgres", "krbsrvname": "", "min_protocol_version": "3.0", "max_protocol_version": "3.0",
	}}
	for name, value := range u.base() {
		t.keywords[name] = value
	}
	socket := ""
	for _, p := range u.query {
		if len(p.values) > 1 {
			return nil, u.refuse(p.name, repeated)
		}
		value := p.values[0]
		switch p.name {
		case "user", "host", "port", "application_name", "replication":
			t.keywords[p.name] = value
		case "database":
			t.keywords["dbname"] = value
		case "password":
			t.password = value
		case "unix_sock":
			socket = value
		case "tcp_keepalive": // any text is true in Python, and Go's dialer keeps alive
		case "ssl_context", "timeout", "source_address", "startup_params", "sock":
			return nil, u.refuse(p.name, notText)
		case "sslmode", "ssl":
			return nil, u.refuse(p.name, unknownParameter+": pg8000 takes TLS settings from code only")
		default:
			return nil, u.refuse(p.name, unknownParameter)
		}
	}
	if t.keywords["user"] == "" {
		return nil, errors.New("session: pg8000 needs a user in the URL")
	}
	if socket != "" {
		dir, file := filepath.Split(socket)
		port, ok := strings.CutPrefix(file, ".s.PGSQL.")
		if !ok || !strings.HasPrefix(dir, "/") {
			return nil, u.refuse("unix_sock", notInPgx+": it takes sockets named /directory/.s.PGSQL.port")
		}
		t.keywords["host"], t.keywords["port"] = filepath.Clean(dir), port
		return t, nil
	}
	if strings.ContainsAny(t.keywords["host"], ",/@") {
		return nil, errors.New("session: pg8000 takes one host name or address; a socket is given as unix_sock")
	}
	if _, err := strconv.ParseUint(t.keywords["port"], 10, 16); err != nil {
		return nil, u.refuse("port", "is not a port's number")
	}
	return t, nil
}
