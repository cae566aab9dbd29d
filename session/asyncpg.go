package session

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// asyncpg is what SQLAlchemy's PGDialect_asyncpg.create_connect_args and
// asyncpg's own connect_utils.py make of a URL.
func (u *sqlURL) asyncpg() (*target, error) {
	t := &target{driver: "asyncpg", keywords: u.base(), password: u.password, readsEnv: true}
	hosts, ports, err := u.multihost()
	if err != nil {
		return nil, err
	}
	for _, p := range u.query {
		if err := u.asyncpgParameter(t, p, hosts != nil); err != nil {
			return nil, err
		}
	}
	if len(hosts) > 1 && (slices.Contains(hosts, "") || slices.Contains(ports, "") || slices.Contains(ports, "0")) {
		return nil, u.refuse("host", "needs a host and a port each, where there are several")
	}
	if err := t.asyncpgAddress(hosts, ports); err != nil {
		return nil, err
	}
	// What asyncpg has no parameter or variable for, and pgx reads a variable for.
	for name, value := range map[string]string{
		"connect_timeout": "60", "channel_binding": "prefer", "require_auth": "", "sslsni": "1",
		"sslcertmode": "allow", "min_protocol_version": "3.0", "max_protocol_version": "3.0",
	} {
		t.keywords[name] = value
	}
	return t, nil
}

// asyncpgParameter takes one parameter of the query.
func (u *sqlURL) asyncpgParameter(t *target, p parameter, multihost bool) error {
	if p.name == "host" || p.name == "port" && multihost {
		return nil
	}
	if len(p.values) > 1 {
		return u.refuse(p.name, repeated)
	}
	value := p.values[0]
	switch p.name {
	case "port", "user", "passfile", "target_session_attrs", "krbsrvname", "service", "servicefile":
		t.keywords[p.name] = value
	case "database":
		t.keywords["dbname"] = value
	case "password":
		t.password = value
	case "ssl":
		t.keywords["sslmode"] = strings.ReplaceAll(value, "_", "-")
	case "direct_tls": // any text is true in Python
		t.keywords["sslnegotiation"] = "direct"
	case "gsslib":
		if value != "gssapi" && value != "sspi" {
			return u.refuse(p.name, "is not gssapi or sspi")
		}
	case "prepared_statement_cache_size":
		size, ok := pythonInt(value)
		if !ok {
			return u.refuse(p.name, "is not a number")
		}
		t.noCache = size == 0
	case "command_timeout":
		return u.refuse(p.name, notInPgx+": give each call a context with a deadline")
	case "timeout", "statement_cache_size", "max_cached_statement_lifetime", "max_cacheable_statement_size",
		"server_settings", "loop", "connection_class", "record_class", "dsn", "async_creator_fn",
		"prepared_statement_name_func":
		return u.refuse(p.name, notText)
	case "sslmode":
		return u.refuse(p.name, unknownParameter+": asyncpg calls it ssl")
	default:
		return u.refuse(p.name, unknownParameter)
	}
	return nil
}

// asyncpgAddress sets host and port: asyncpg takes the path of a socket's file
// too, ports inside PGHOST, and has five places to look in by default.
func (t *target) asyncpgAddress(hosts, ports []string) error {
	if hosts == nil {
		host := t.keywords["host"]
		if strings.Contains(host, ",") {
			return errors.New("session: asyncpg takes several hosts as ?host=h1:5432&host=h2:5432")
		}
		if host != "" {
			hosts = []string{host}
		}
	}
	port := t.keywords["port"]
	if n, ok := pythonInt(port); port != "" && (!ok || n < 0) {
		return errors.New("session: asyncpg: the port is not a number above 0")
	} else if n == 0 { // which asyncpg takes as unset
		port = ""
	}
	if len(hosts) == 1 && hosts[0] == "" {
		hosts = nil
	}
	switch { // the query goes before the URL's own port
	case len(ports) > 1:
		port = ""
	case len(ports) == 1 && ports[0] == "0":
		port = ""
	case len(ports) == 1 && ports[0] != "":
		port = ports[0]
	}
	if hosts == nil && t.keywords["service"] != "" {
		return nil // pgx reads the file
	}
	envPorts := strings.Split(os.Getenv("PGPORT"), ",")
	if hosts == nil {
		if env := os.Getenv("PGHOST"); env != "" {
			hosts, ports = splitHostList(env)
		} else {
			hosts = []string{"/run/postgresql", "/var/run/postgresql", "/tmp", "/private/tmp", "localhost"}
			ports = nil
		}
	} else if len(hosts) == 1 {
		ports = nil
	}
	if ports == nil {
		ports = make([]string, len(hosts))
	}
	for i := range hosts {
		switch {
		case port != "":
			ports[i] = port
		case ports[i] != "":
		case len(envPorts) == 1:
			ports[i] = envPorts[0]
		case len(envPorts) == len(hosts):
			ports[i] = envPorts[i]
		default:
			return errors.New("session: asyncpg: PGPORT doesn't have as many ports as there are hosts")
		}
		if ports[i] == "" {
			ports[i] = "5432"
		}
		if !strings.HasPrefix(hosts[i], "/") || !strings.Contains(hosts[i], ".s.PGSQL.") {
			continue
		}
		dir, file := filepath.Split(hosts[i])
		number, ok := strings.CutPrefix(file, ".s.PGSQL.")
		if !ok {
			return errors.New("session: asyncpg: a socket's path has .s.PGSQL. elsewhere than in its file's name")
		}
		hosts[i], ports[i] = filepath.Clean(dir), number
	}
	t.keywords["host"], t.keywords["port"] = strings.Join(hosts, ","), strings.Join(ports, ",")
	return nil
}

// splitHostList is asyncpg's _parse_hostlist, for PGHOST.
func splitHostList(list string) (hosts, ports []string) {
	for spec := range strings.SplitSeq(list, ",") {
		host, port := spec, ""
		if inner, ok := strings.CutPrefix(spec, "["); ok {
			host, port, _ = strings.Cut(inner, "]")
			port = strings.TrimPrefix(port, ":")
		} else if !strings.HasPrefix(spec, "/") {
			host, port, _ = strings.Cut(spec, ":")
		}
		hosts, ports = append(hosts, host), append(ports, port)
	}
	return hosts, ports
}
