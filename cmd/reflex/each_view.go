package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/reflex-dev/reflex-orm/cmd/reflex/internal/databases"
)

// eachView is what a person sees of a run. A line for each database goes to
// stdout, but for a terminal, where a progress line says as much; what failed,
// and what was printed, goes to stderr.
type eachView struct {
	program  string // what a user types for `reflex db`
	began    startAnswer
	stdout   io.Writer // above the progress line, if there is one
	stderr   io.Writer
	lines    bool // whether each database has one
	progress *mpb.Progress
	bar      *mpb.Bar
	at       time.Time
	all      int
	count    map[string]int // by outcome
	status   chan string    // what the progress line says; the newest only
	atWork   []string
	unread   bool // nobody reads stdout any more
}

func newEachView(program string, began startAnswer, all int) *eachView {
	v := &eachView{
		program: program, began: began, stdout: os.Stdout, stderr: os.Stderr, lines: !isTerminal(os.Stdout) || began.Answers,
		at: time.Now(), all: all, count: map[string]int{}, status: make(chan string, 1),
	}
	if !isTerminal(os.Stderr) {
		v.lines = true
		return v
	}
	v.progress = mpb.New(mpb.WithOutput(os.Stderr), mpb.WithWidth(24))
	said := ""
	v.bar = v.progress.New(int64(all), mpb.BarStyle().Rbound("]").Lbound("["),
		mpb.BarRemoveOnComplete(),
		mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string {
			select {
			case said = <-v.status:
			default:
			}
			return cut(said, s.AvailableWidth)
		})))
	v.stderr = v.progress
	if isTerminal(os.Stdout) {
		v.stdout = v.progress
	}
	v.say()
	return v
}

// isTerminal reports whether a progress line can be renewed in place there.
func isTerminal(file *os.File) bool {
	return term.IsTerminal(int(file.Fd())) && os.Getenv("TERM") != "dumb"
}

func cut(text string, width int) string {
	runes := []rune(text)
	if width < 1 || len(runes) <= width {
		return text
	}
	return string(runes[:width])
}

func (v *eachView) begin(d databases.Database) {
	v.atWork = append(v.atWork, d.Name)
	v.say()
}

// say renews the progress line.
func (v *eachView) say() {
	if v.bar == nil {
		return
	}
	failed := v.count["failed"] + v.count["interrupted"]
	ended := v.count["ok"] + v.count["unchanged"] + failed
	text := fmt.Sprintf(" %d done, %d failed, %d left", ended-failed, failed, v.all-ended)
	if seconds := time.Since(v.at).Seconds(); ended > 0 && seconds > 0 {
		rate := float64(ended) / seconds
		rest := time.Duration(float64(v.all-ended) / rate * float64(time.Second))
		text += fmt.Sprintf(", %.1f/s, %v to go", rate, rest.Round(time.Second))
	}
	if len(v.atWork) > 0 {
		text += ": " + strings.Join(v.atWork, ", ")
	}
	select { // what nobody has seen yet is old
	case <-v.status:
	default:
	}
	v.status <- text
	v.bar.SetCurrent(int64(ended))
}

// end reports whether stdout is read no more.
func (v *eachView) end(r *result) (unread bool) {
	for i, name := range v.atWork {
		if name == r.database.Name {
			v.atWork = append(v.atWork[:i], v.atWork[i+1:]...)
			break
		}
	}
	v.count[r.outcome()]++
	if r.alone {
		fmt.Fprintln(v.stderr, "This project keeps something of the first database for the next ones, "+
			"so each database has a process of its own from here on, which is slower.")
	}
	if v.lines {
		v.line(r)
	}
	defer v.say()
	if r.answer.Kind == "signal" {
		return v.unread
	}
	if !r.well() || v.began.Verbose {
		v.each(v.stderr, r.database.Name, r.stderr)
		if !v.began.Answers {
			v.each(v.stderr, r.database.Name, r.stdout)
		}
	}
	if !r.well() {
		v.each(v.stderr, r.database.Name, r.answer.Traceback)
		v.each(v.stderr, r.database.Name, paint(os.Stderr, "Error:")+" "+message(r))
		if r.answer.Hint != "" {
			v.each(v.stderr, r.database.Name, "Next: "+strings.ReplaceAll(r.answer.Hint, "reflex db", v.program))
		}
	}
	return v.unread
}

// line is a database's own, on stdout.
func (v *eachView) line(r *result) {
	name := r.database.Name
	if v.began.Answers && r.well() {
		answer := strings.TrimSpace(r.stdout)
		if line, err := jsonLine(name, answer); err == nil { // of status --json
			name, answer = "", line
		}
		v.each(v.stdout, name, cmp.Or(answer, "(nothing)"))
		return
	}
	text := fmt.Sprintf("%-11s %s", r.outcome(), name)
	if from, to := revision(r.answer.Before), revision(r.answer.After); from != nil {
		at := "(not known)"
		if to != nil {
			at = cmp.Or(*to, "<base>")
		}
		text += fmt.Sprintf("  %s -> %s", cmp.Or(*from, "<base>"), at)
	}
	text += fmt.Sprintf("  %.2fs", r.answer.Seconds)
	if !r.well() {
		first, _, _ := strings.Cut(message(r), "\n")
		text += "  " + first
	}
	v.each(v.stdout, "", text)
}

// jsonLine is an answer that is a JSON document, with the database's name, on one line.
func jsonLine(name, answer string) (string, error) {
	line, err := json.Marshal(struct {
		Name   string          `json:"name"`
		Answer json.RawMessage `json:"answer"`
	}{name, json.RawMessage(answer)})
	if err == nil && answer[0] != '{' {
		err = errors.New("a number or a word, and no document")
	}
	return string(line), err
}

// each writes every line of text after the name, if there is one.
func (v *eachView) each(w io.Writer, name, text string) {
	if name != "" {
		name += ": "
	}
	var lines strings.Builder
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		lines.WriteString(name + strings.TrimRight(line, "\r\n") + "\n")
	}
	if _, err := io.WriteString(w, lines.String()); err != nil && w == v.stdout {
		v.unread = true
	}
}

func message(r *result) string { return strings.TrimSpace(r.answer.Message) }

// close takes the progress line away.
func (v *eachView) close() {
	if v.progress == nil {
		return
	}
	v.bar.Abort(true)
	v.progress.Wait()
	v.stdout, v.stderr = os.Stdout, os.Stderr
}

// summary says what became of all of them, and what to do next.
func (v *eachView) summary(r *eachRun) {
	left := 0
	var failed []*result
	for _, result := range r.results {
		switch {
		case result == nil:
			left++
		case result.outcome() == "failed":
			failed = append(failed, result)
		}
	}
	counts := []string{}
	for _, outcome := range []string{"ok", "unchanged", "failed", "interrupted"} {
		if n := v.count[outcome]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, outcome))
		}
	}
	if left > 0 {
		counts = append(counts, fmt.Sprintf("%d not begun", left))
	}
	fmt.Fprintf(v.stderr, "%d databases: %s, in %v\n", v.all, cmp.Or(strings.Join(counts, ", "), "nothing to do"),
		time.Since(v.at).Round(10*time.Millisecond))
	for _, result := range failed {
		first, _, _ := strings.Cut(message(result), "\n")
		fmt.Fprintf(v.stderr, "failed: %s: %s\n", result.database.Name, first)
	}
	if left+len(failed)+v.count["interrupted"] == 0 {
		return
	}
	next := "give the same command again"
	if len(failed) > 0 {
		next = "mend what failed, and " + next
	}
	if r.options.failed != "" {
		next = strings.Replace(next, "again", "with --each "+r.options.failed, 1)
	} else if !v.began.Answers {
		next += "; a database that is done is left alone"
	}
	fmt.Fprintf(v.stderr, "Next: %s\n", next)
}
