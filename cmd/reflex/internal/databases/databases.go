// Package databases reads the list of `reflex db COMMAND --each`: which
// databases there are, what each is called, and which of them are this
// machine's part.
//
//	list, err := databases.Read(file, databases.Places{URL: os.Getenv("REFLEX_DB_URL")})
//	part := databases.Part(list, shard)
//
// A line of the list is a URL, a name, or a name and a URL. The whole list is
// read and checked before anything is done with it, and no error repeats what
// stands in a line, which may be a password.
package databases

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Placeholder is where a name goes, in the URL that all share or in an argument.
const Placeholder = "{}"

// A Database is one line of the list.
type Database struct {
	Name   string // without a password; no other has it
	URL    string // "" is whatever the project's own configuration says
	Own    bool   // the URL is of this database, and not one that all share
	Line   string // as it was read, password and all
	Number int    // of the line, from 1
}

// Places are where the name of a line may go.
type Places struct {
	URL   string // REFLEX_DB_URL: with a {}, or shared by all
	Other bool   // whether a {} stands anywhere else: in an -x, or in another variable
}

// A LineError is a line that can't be used. It repeats nothing of the line.
type LineError struct {
	Number  int
	Problem string
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Number, e.Problem) }

// ErrEmpty is a list without a database.
var ErrEmpty = errors.New("there is no database in the list")

const longest = 64 << 10 // bytes of a line

// Read reads a list. Blank lines, and those that start with #, are skipped.
//
// The error is a [*LineError], [ErrEmpty], or the reader's.
func Read(r io.Reader, places Places) ([]Database, error) {
	var list []Database
	byName := map[string]int{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, longest)
	number := 0
	for lines.Scan() {
		number++
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if line == "" || line[0] == '#' {
			continue
		}
		database, problem := parse(line, places)
		if problem == "" {
			if first, taken := byName[database.Name]; taken {
				problem = fmt.Sprintf("the name %s is that of line %d as well", database.Name, first)
			}
		}
		if problem != "" {
			return nil, &LineError{number, problem}
		}
		byName[database.Name] = number
		database.Line, database.Number = line, number
		list = append(list, database)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, &LineError{number + 1, "it is longer than 64 KB"}
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, ErrEmpty
	}
	return list, nil
}

// parse reads one line. The problem is "" if there is none.
func parse(line string, places Places) (d Database, problem string) {
	if !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }) {
		return d, "it is not plain UTF-8 text"
	}
	name, rawURL := split(line)
	if strings.ContainsFunc(name, unicode.IsSpace) {
		return d, "it is neither a URL, nor a name without spaces, nor a name and a URL"
	}
	if rawURL == "" {
		return named(name, places)
	}
	ownName, problem := nameOf(rawURL)
	if problem != "" {
		return d, problem
	}
	if name == "" {
		if places.Other {
			return d, "the {} of an -x or of a variable needs a name, and the line has a URL only: write NAME URL"
		}
		name = ownName
	}
	return Database{Name: name, URL: rawURL, Own: true}, ""
}

// named is the database of a line that is a name alone.
func named(name string, places Places) (d Database, problem string) {
	switch {
	case strings.Contains(places.URL, Placeholder):
		return Database{Name: name, URL: FillURL(places.URL, name), Own: true}, ""
	case places.Other:
		return Database{Name: name, URL: places.URL}, ""
	}
	return d, "it has no URL, and there is no {} to put the name in, in REFLEX_DB_URL or in an -x"
}

var scheme = regexp.MustCompile(`(?:^|\s)[\pL\pN_+]+://`)

// split parts a line into a name and a URL, which may hold spaces.
func split(line string) (name, rawURL string) {
	at := scheme.FindStringIndex(line)
	if at == nil {
		return line, ""
	}
	return strings.TrimSpace(line[:at[0]]), strings.TrimSpace(line[at[0]:])
}

// urlPattern is how SQLAlchemy splits a URL (sqlalchemy/engine/url.py, _parse_url).
var urlPattern = regexp.MustCompile(`^[\pL\pN_+]+://` +
	`(?:([^:/]*)(?::([^@]*))?@)?` + // user and password
	`(?:(?:\[([^/?]+)\]|([^/:?]+))?(?::([^/?]*))?)?` + // IPv6 host, host, port
	`(?:/([^?]*))?(?:\?(.*))?$`) // database, query

// nameOf is what a URL's database is called: its host and itself.
func nameOf(rawURL string) (name, problem string) {
	m := urlPattern.FindStringSubmatch(rawURL)
	if m == nil {
		return "", "its URL is not of the form DIALECT+DRIVER://USER:PASSWORD@HOST:PORT/DATABASE"
	}
	host, port, database, query := m[3]+m[4], m[5], m[6], m[7]
	// What was not encoded has got into another part, and is not to be shown.
	if strings.Contains(host+port, "@") || host != "" && strings.Contains(database, "@") {
		return "", "an @, / or : of the user or the password is not percent-encoded"
	}
	if strings.Trim(port, "0123456789") != "" {
		return "", "the port of its URL is not a number"
	}
	if database, problem = unescape(database); problem != "" {
		return "", problem
	}
	if host == "" {
		if values, err := url.ParseQuery(query); err == nil {
			host = strings.Join(values["host"], ",")
		}
	}
	if port != "" {
		host += ":" + port
	}
	switch {
	case host == "" && database == "":
		return "", "its URL names no database"
	case host == "":
		return database, ""
	}
	return host + "/" + database, ""
}

func unescape(text string) (plain, problem string) {
	plain, err := url.PathUnescape(text)
	if err != nil {
		return text, "" // SQLAlchemy takes a lone % as it is
	}
	if !utf8.ValidString(plain) || strings.ContainsFunc(plain, unicode.IsControl) {
		return "", "the database of its URL is not plain UTF-8 text"
	}
	return plain, ""
}

// FillURL puts the name, percent-encoded, in the place of each {} of a URL.
func FillURL(rawURL, name string) string {
	encoded := strings.ReplaceAll(url.QueryEscape(name), "+", "%20") // which is right anywhere in a URL
	return strings.ReplaceAll(rawURL, Placeholder, encoded)
}

// Fill puts the name in the place of each {} of the values of -x in the
// arguments of Alembic.
func Fill(argv []string, name string) []string {
	filled := make([]string, len(argv))
	copy(filled, argv)
	for _, i := range arguments(argv) {
		filled[i] = strings.ReplaceAll(argv[i], Placeholder, name)
	}
	return filled
}

// HasPlaceholder reports whether the value of an -x has a {}.
func HasPlaceholder(argv []string) bool {
	for _, i := range arguments(argv) {
		if strings.Contains(argv[i], Placeholder) {
			return true
		}
	}
	return false
}

// arguments are the indexes of the values of -x.
func arguments(argv []string) []int {
	var found []int
	for i, arg := range argv {
		switch {
		case arg == "--":
			return found
		case i > 0 && argv[i-1] == "-x", len(arg) > 2 && strings.HasPrefix(arg, "-x"):
			found = append(found, i)
		}
	}
	return found
}
