package session

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Ways to write a URL that SQLAlchemy hands to the driver as it is, where they
// can't work. pyshim/reflex_driver/unreachable.py is the same in Python; tests/urls
// holds the two together.
var (
	errEncodedHost = errors.New("session: a percent-encoded directory is not decoded in a host's place: " +
		"write ...@/database?host=/directory")
	errEncodedHostPg8000 = errors.New("session: a percent-encoded directory is not decoded in a host's place: " +
		"write ...@/database?unix_sock=/directory/.s.PGSQL.5432")
	errBrackets = errors.New("session: a host in brackets is for the place before the database alone: " +
		"write ...@[::1]:5432/database, or ?host=::1&port=5432")
	errHostsWithPorts = errors.New("session: several hosts with a port each are " +
		"?host=h1:5432&host=h2:5433, or ?host=h1,h2&port=5432,5433")
	errSocketFile = errors.New("session: a socket is named by its directory and port: " +
		"write ?host=/directory&port=5432")

	errLineBreak = errors.New("session: the database URL has a line break inside the database's name: " +
		"it must be one line (a name that does have one is written with %0A)")

	anyHostAndPort = regexp.MustCompile(`^[^/:\[]+:[0-9]+$`)
	socketFile     = regexp.MustCompile(`^/(?:.*/)?\.s\.PGSQL\.[0-9]+$`)
)

// unreachable is how to write the host instead, or nil if one of the hosts can be
// reached, or if the host may be no more than a name.
func (u *sqlURL) unreachable() error {
	if u.lineBreak {
		return errLineBreak
	}
	for _, name := range []string{"hostaddr", "service", "unix_sock"} {
		if u.get(name) != nil {
			return nil
		}
	}
	if os.Getenv("PGHOSTADDR") != "" || os.Getenv("PGSERVICE") != "" {
		return nil
	}
	values := u.get("host")
	if values == nil {
		values = []string{u.host}
	}
	var errs []error
	for _, value := range values {
		for host := range strings.SplitSeq(value, ",") {
			errs = append(errs, u.unreachableHost(host, value))
		}
	}
	if slices.Contains(errs, nil) {
		return nil
	}
	return errs[0]
}

func (u *sqlURL) unreachableHost(host, value string) error {
	switch {
	case strings.HasPrefix(strings.ToLower(host), "%2f") && u.driver == "pg8000":
		return errEncodedHostPg8000
	case strings.HasPrefix(strings.ToLower(host), "%2f"):
		return errEncodedHost
	case strings.HasPrefix(host, "["):
		return errBrackets
	case strings.Contains(value, ",") && anyHostAndPort.MatchString(host):
		return errHostsWithPorts
	case strings.HasPrefix(u.driverName(), "psycopg") && socketFile.MatchString(host):
		return errSocketFile
	}
	return nil
}
