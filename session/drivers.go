package session

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// target asks the URL's driver what it means.
func (u *sqlURL) target() (*target, error) {
	switch u.dialect {
	case "postgresql":
	case "postgres":
		return nil, errors.New("session: SQLAlchemy refuses postgres:// since its version 1.4: write postgresql://")
	default:
		return nil, fmt.Errorf("session: %w: the URL's dialect is %s", ErrNotPostgres, quoteName(u.dialect))
	}
	if err := u.unreachable(); err != nil {
		return nil, err
	}
	switch u.driver {
	case "", "psycopg", "psycopg_async", "psycopg2":
		return u.libpq()
	case "asyncpg":
		return u.asyncpg()
	case "pg8000":
		return u.pg8000()
	}
	return nil, fmt.Errorf("session: the driver %s is unknown: use psycopg, psycopg2, asyncpg or pg8000", quoteName(u.driver))
}

func (u *sqlURL) driverName() string {
	if u.driver == "" {
		return "psycopg"
	}
	return u.driver
}

// refuse is the error for a parameter that the driver, or pgx in its place, can't take.
func (u *sqlURL) refuse(name, why string) error {
	return fmt.Errorf("session: %s: the parameter %s %s", u.driverName(), quoteName(name), why)
}

const (
	unknownParameter = "is unknown to the driver"
	notInPgx         = "asks for what pgx can't do"
	notText          = "can't be given in a URL: the driver doesn't take it as text"
	repeated         = "is given more than once"
)

// get is a parameter's values.
func (u *sqlURL) get(name string) []string {
	for _, p := range u.query {
		if p.name == name {
			return p.values
		}
	}
	return nil
}

// base are the parts of the URL under libpq's keywords.
func (u *sqlURL) base() map[string]string {
	keywords := map[string]string{}
	for name, value := range map[string]string{"user": u.user, "host": u.host, "port": u.port, "dbname": u.database} {
		if value != "" {
			keywords[name] = value
		}
	}
	return keywords
}

// multihost reads the host and port parameters, in the three ways that
// SQLAlchemy takes: host=h1:p1&host=h2:p2, host=h1,h2&port=p1,p2 and host=h:p.
// It follows PGDialect._split_multihost_from_url; there are as many ports as
// hosts, "" where one is unset, and none of either without a host parameter.
func (u *sqlURL) multihost() (hosts, ports []string, err error) {
	given, portsGiven := u.get("host"), u.get("port")
	integrated := false
	switch {
	case len(given) > 1:
		integrated = true
		for _, token := range given {
			host, port, _ := strings.Cut(token, ":")
			if strings.Contains(port, ":") {
				return nil, nil, u.refuse("host", "holds an address with more than one colon")
			}
			hosts, ports = append(hosts, host), append(ports, port)
		}
	case len(given) == 1:
		hosts = strings.Split(given[0], ",")
		if m := hostAndPort.FindStringSubmatch(hosts[0]); len(hosts) == 1 && len(portsGiven) == 0 && m != nil {
			integrated = true
			hosts, ports = []string{m[1]}, []string{m[2]}
		}
	}
	if slices.ContainsFunc(hosts, func(host string) bool { return strings.Contains(host, "@") }) {
		return nil, nil, u.refuse("host", "holds an @")
	}
	switch {
	case len(portsGiven) > 0 && integrated:
		return nil, nil, u.refuse("port", "can't be mixed with ports in host")
	case len(portsGiven) == 1:
		ports = strings.Split(portsGiven[0], ",")
	case len(portsGiven) > 1:
		ports = portsGiven
	}
	for i, port := range ports {
		n, ok := pythonInt(port)
		switch {
		case port == "":
		case !ok:
			return nil, nil, u.refuse("port", "is not a number")
		default:
			ports[i] = strconv.Itoa(n)
		}
	}
	if len(ports) > max(1, len(hosts)) || len(hosts) > 1 && len(ports) > 0 && len(ports) != len(hosts) {
		return nil, nil, u.refuse("port", "doesn't have as many values as there are hosts")
	}
	if hosts != nil && ports == nil {
		ports = make([]string, len(hosts))
	}
	return hosts, ports, nil
}

var hostAndPort = regexp.MustCompile(`^([a-zA-Z0-9\-.]*):(\d*)$`)
