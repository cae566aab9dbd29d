package session

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// urlPattern is how SQLAlchemy splits a URL (sqlalchemy/engine/url.py, _parse_url).
// It isn't anchored at its end there; what it leaves over is an error here.
var urlPattern = regexp.MustCompile(`^([\pL\pN_+]+)://` +
	`(?:([^:/]*)(?::([^@]*))?@)?` + // user and password
	`(?:(?:\[([^/?]+)\]|([^/:?]+))?(?::([^/?]*))?)?` + // IPv6 host, host, port
	`(?:/([^?]*))?(?:\?(.*))?`) // database, query

// sqlURL is a URL in SQLAlchemy's parts, decoded. An empty part is an unset one:
// SQLAlchemy hands neither to the driver.
type sqlURL struct {
	dialect, driver string // "postgresql" and "psycopg"; no driver is ""
	user, password  string
	host            string
	port            string // a number, or unset
	database        string
	query           []parameter // in the URL's order, each name once
	lineBreak       bool        // inside the database's name, and not encoded
}

// parameter is a name in the query with its values, of which there are several
// if the name was repeated.
type parameter struct {
	name   string
	values []string
}

var errNotURL = errors.New("session: the database URL is not of the form " +
	"postgresql://user:password@host:port/database")

// pyshim/reflex_driver/unreachable.py says the same; tests/urls holds the two together.
var (
	errQuotes   = errors.New("session: the database URL is in quotes, which are for a shell and no part of a URL: take them off")
	errSecondAt = errors.New("session: the database URL has a second @: " +
		"an @ in the user or the password must be written %40 (a : is %3A, a / is %2F)")
	errPort = errors.New("session: the database URL has a port that is not a number: " +
		"write ...@host:5432/database; a : in the user must be written %3A")
)

const newLines = "\r\n"

// trim cuts off what Python's strip() does: the new line of a secret's file.
func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f })
}

// splitURL splits a URL as SQLAlchemy does. Its errors hold no part of it but names.
func splitURL(raw string) (*sqlURL, error) {
	if !utf8.ValidString(raw) || strings.ContainsRune(raw, 0) {
		return nil, errors.New("session: the database URL is not UTF-8 text")
	}
	if strings.HasPrefix(raw, `"`) || strings.HasPrefix(raw, "'") {
		return nil, errQuotes
	}
	at := urlPattern.FindStringSubmatchIndex(raw)
	if at == nil {
		return nil, errNotURL
	}
	m := urlPattern.FindStringSubmatch(raw)
	u := &sqlURL{
		user: unquote(m[2]), password: unquote(m[3]), host: m[4] + m[5],
		database: unquote(m[7]), query: parseQuery(m[8]),
	}
	u.dialect, u.driver, _ = strings.Cut(m[1], "+")
	if m[1] == "postgresql+" {
		return nil, errors.New("session: the database URL names no driver after the +")
	}
	if strings.Contains(u.host+m[6], "@") {
		return nil, errSecondAt
	}
	if at[2*6] >= 0 {
		port, ok := pythonInt(m[6])
		if !ok {
			return nil, errPort
		}
		if port != 0 { // which is false in Python, so SQLAlchemy takes it as unset
			u.port = strconv.Itoa(port)
		}
	}
	if len(m[0]) != len(raw) {
		return nil, errors.New("session: the database URL goes on where it should end " +
			"(after the ] of a host, or with a new line in the query): SQLAlchemy would drop that part")
	}
	u.lineBreak = strings.ContainsAny(raw, newLines) && strings.ContainsAny(u.database, newLines)
	for _, part := range append([]string{u.user, u.password, u.database}, u.texts()...) {
		if strings.ContainsRune(part, 0) {
			return nil, errors.New("session: the database URL holds %00, which PostgreSQL can't take")
		}
	}
	return u, nil
}

func (u *sqlURL) texts() (texts []string) {
	for _, p := range u.query {
		texts = append(append(texts, p.name), p.values...)
	}
	return texts
}

// parseQuery is urllib.parse.parse_qsl without blank values, as SQLAlchemy calls
// it: "sslmode=" and a bare "sslmode" are as if they weren't there.
func parseQuery(query string) (parameters []parameter) {
	index := map[string]int{}
	for field := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(field, "=")
		if value == "" {
			continue
		}
		name = unquote(strings.ReplaceAll(name, "+", " "))
		value = unquote(strings.ReplaceAll(value, "+", " "))
		i, seen := index[name]
		if !seen {
			i = len(parameters)
			index[name] = i
			parameters = append(parameters, parameter{name: name})
		}
		parameters[i].values = append(parameters[i].values, value)
	}
	return parameters
}

// unquote is urllib.parse.unquote: escapes that aren't one stay as they are, and
// each run of bytes that can't be UTF-8 becomes U+FFFD.
func unquote(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(n))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return replaceInvalid(string(b))
}

// replaceInvalid puts one U+FFFD where Python's decoder does: for the longest
// start of a character (Unicode 15, section 3.9, "maximal subpart").
func replaceInvalid(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			for k := 1; k < len(s) && k < 4 && !utf8.FullRuneInString(s[:k]); k++ {
				n = k
			}
			if !utf8.FullRuneInString(s) { // cut off at the end
				n = len(s)
			}
		}
		b.WriteRune(r)
		s = s[n:]
	}
	return b.String()
}

// pythonInt is Python's int(s), as far as a port needs it: spaces around, a sign,
// underscores between digits.
func pythonInt(s string) (int, bool) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "_") || strings.HasSuffix(s, "_") || strings.Contains(s, "__") ||
		strings.Contains(s, "-_") || strings.Contains(s, "+_") {
		return 0, false
	}
	n, err := strconv.Atoi(strings.ReplaceAll(s, "_", ""))
	return n, err == nil
}

// quoteName names a parameter or a dialect in an error, if it can be a name at
// all: in a URL gone wrong it may be a piece of the password.
func quoteName(name string) string {
	if !namePattern.MatchString(name) {
		return "(not a name)"
	}
	return fmt.Sprintf("%q", name)
}

var namePattern = regexp.MustCompile(`^[\pL\pN_][\pL\pN_.+-]{0,39}$`)
