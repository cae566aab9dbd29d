package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/reflex-dev/reflex-orm/cmd/reflex/internal/databases"
)

// eachOptions are those of `--each`, which runs one of Alembic's commands on
// every database of a list.
type eachOptions struct {
	list      string // a file, or - for stdin
	jobs      int
	first     int
	keepGoing bool
	failed    string // a file for the lines that are left to do
	report    string // a file for a JSON object a line
	shard     databases.Shard
}

// takeEach takes the options of --each out of Alembic's arguments. They may
// stand anywhere before a --, and are known by their whole names only, for what
// else there is is up to the project's Alembic. Without --each there is nothing
// to take, and the options are nil.
func takeEach(args []string) (*eachOptions, []string, error) {
	o := &eachOptions{jobs: cpus(os.DirFS("/"))}
	values := map[string]func(string) error{
		"--each":   func(v string) error { o.list = v; return nil },
		"--failed": func(v string) error { o.failed = v; return nil },
		"--report": func(v string) error { o.report = v; return nil },
		"--jobs":   func(v string) (err error) { o.jobs, err = positive(v); return err },
		"--first":  func(v string) (err error) { o.first, err = positive(v); return err },
		"--shard":  func(v string) (err error) { o.shard, err = databases.ParseShard(v); return err },
	}
	var rest []string
	var problem error
	each := false
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			rest = append(rest, args[i:]...)
			break
		}
		name, value, joined := strings.Cut(args[i], "=")
		set, ours := values[name]
		switch {
		case args[i] == "--keep-going":
			o.keepGoing = true
			continue
		case !ours:
			rest = append(rest, args[i])
			continue
		case !joined && i+1 < len(args):
			i++
			value = args[i]
		}
		each = each || name == "--each"
		if value == "" {
			problem = errors.Join(problem, fmt.Errorf("%s needs a value", name))
		} else if err := set(value); err != nil {
			problem = errors.Join(problem, fmt.Errorf("%s %s: %w", name, value, err))
		}
	}
	switch {
	case !each:
		return nil, args, nil
	case problem != nil:
		return nil, nil, &usageError{problem}
	}
	return o, rest, nil
}

func positive(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, errors.New("a number from 1 is expected")
	}
	return n, nil
}

const eachHelp = `
Many databases, one after another in each of several processes (docs/operations.md):
      --each FILE       run the command on each database of FILE (- is stdin), a line for each:
                        a URL, a name for the {} in REFLEX_DB_URL or in an -x, or a name and a URL
      --jobs N          processes; the number of CPUs
      --first N         the first N alone, and the others if all of these are well
      --keep-going      go through all, whatever fails
      --failed FILE     write the lines that failed or were not begun
      --report FILE     write a JSON object for each database
      --shard I/N       only part I of N, from 0
`

// eachCandidates are for completion: --each, and what goes with it.
var eachCandidates = [][2]string{
	{"--each", "run the command on each database of a file"},
	{"--jobs", "how many processes"},
	{"--first", "so many of the list alone, and the others if these are well"},
	{"--keep-going", "go through all, whatever fails"},
	{"--failed", "a file for the lines that failed or were not begun"},
	{"--report", "a file for a JSON object for each database"},
	{"--shard", "only part I of N"},
}

// otherURLs are variables in which a {} stands for the name as well.
var otherURLs = []string{"REFLEX_DB_LOCK_URL", "REFLEX_ASYNC_DB_URL"}

// variables are those that name one database.
func variables(d databases.Database) map[string]string {
	set := map[string]string{}
	if d.URL != "" {
		set["REFLEX_DB_URL"] = d.URL
	}
	for _, name := range otherURLs {
		if value := os.Getenv(name); strings.Contains(value, databases.Placeholder) {
			set[name] = databases.FillURL(value, d.Name)
		}
	}
	return set
}

// readList reads the databases that o names, and takes this shard's.
func (o *eachOptions) readList(argv []string) ([]databases.Database, error) {
	var file io.Reader = os.Stdin
	if o.list != "-" {
		opened, err := os.Open(o.list)
		if err != nil {
			return nil, &usageError{fmt.Errorf("--each: %w", err)}
		}
		defer opened.Close()
		file = opened
	}
	places := databases.Places{URL: strings.TrimSpace(os.Getenv("REFLEX_DB_URL")), Other: databases.HasPlaceholder(argv)}
	for _, name := range otherURLs {
		places.Other = places.Other || strings.Contains(os.Getenv(name), databases.Placeholder)
	}
	list, err := databases.Read(file, places)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--each %s: %w", o.list, err)}
	}
	return databases.Part(list, o.shard), nil
}
