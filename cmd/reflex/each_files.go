package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/reflex-dev/reflex-orm/cmd/reflex/internal/databases"
)

// eachFiles are those that --failed and --report name.
type eachFiles struct {
	failed  *os.File // nil if none is wanted
	records *os.File
	err     error // the first of writing
}

// openEachFiles opens them before anything begins, for what can't be written
// is better known then.
func openEachFiles(options *eachOptions) (*eachFiles, error) {
	f := &eachFiles{}
	var err error
	if options.failed != "" {
		// What it holds may be the list: it is emptied when that has been gone through.
		if f.failed, err = os.OpenFile(options.failed, os.O_WRONLY|os.O_CREATE, 0o600); err != nil {
			return nil, &usageError{fmt.Errorf("--failed: %w", err)}
		}
	}
	if options.report != "" {
		if f.records, err = os.Create(options.report); err != nil {
			f.close()
			return nil, &usageError{fmt.Errorf("--report: %w", err)}
		}
	}
	return f, nil
}

func (f *eachFiles) close() {
	for _, file := range []*os.File{f.failed, f.records} {
		if file != nil {
			file.Close()
		}
	}
}

// record is a line of the report.
type record struct {
	Name      string  `json:"name"`
	Outcome   string  `json:"outcome"` // ok, unchanged, failed, interrupted or not begun
	Status    *int    `json:"status"`  // as the command's exit status for this database alone
	From      *string `json:"from"`    // revisions, "" before the first; null is not known
	To        *string `json:"to"`
	Revisions int     `json:"revisions"` // that were run, and stay
	Seconds   float64 `json:"seconds"`
	Message   string  `json:"message"`
}

// outcome says in a word how a database's run ended.
func (r *result) outcome() string {
	switch {
	case r.answer.Kind == "signal":
		return "interrupted"
	case !r.well():
		return "failed"
	case !r.reads && r.answer.Revisions == 0 && r.answer.Before != nil && r.answer.After != nil:
		return "unchanged"
	}
	return "ok"
}

func (r *result) status() int {
	if r.well() {
		return exitOK
	}
	return r.answer.status()
}

// revision is how a database's revisions are written: "" is before the first.
func revision(heads *[]string) *string {
	if heads == nil {
		return nil
	}
	text := strings.Join(*heads, ", ")
	return &text
}

func (f *eachFiles) report(r *result) {
	status := r.status()
	f.write(record{
		Name: r.database.Name, Outcome: r.outcome(), Status: &status,
		From: revision(r.answer.Before), To: revision(r.answer.After), Revisions: r.answer.Revisions,
		Seconds: r.answer.Seconds, Message: r.answer.Message,
	})
}

func (f *eachFiles) reportLeft(d databases.Database) {
	f.write(record{Name: d.Name, Outcome: "not begun"})
}

func (f *eachFiles) write(line record) {
	if f.records == nil {
		return
	}
	if err := json.NewEncoder(f.records).Encode(line); err != nil {
		f.err = errors.Join(f.err, fmt.Errorf("--report: %w", err))
		f.records = nil
	}
}

// finish writes the lines that are left to do. The error is that of any file.
func (f *eachFiles) finish(list []databases.Database, results []*result) error {
	if f.failed == nil {
		return f.err
	}
	var lines strings.Builder
	for i, d := range list {
		if results[i] == nil || !results[i].well() {
			fmt.Fprintln(&lines, d.Line)
		}
	}
	err := f.failed.Chmod(0o600) // it may have been there, open to others
	if err == nil {
		err = f.failed.Truncate(0)
	}
	if err == nil {
		_, err = f.failed.WriteString(lines.String())
	}
	if err != nil {
		f.err = errors.Join(f.err, fmt.Errorf("--failed: %w", err))
	}
	return f.err
}
