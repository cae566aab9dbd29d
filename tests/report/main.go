// Command report runs tests, and ends with a list of those that were skipped:
//
//	go run ./tests/report COMMAND...
//
// Each COMMAND is a line for the shell that runs `go test -json`. What is printed is
// what `go test` prints without -v. The exit status is that of the first COMMAND
// that failed.
//
// The list has the tests that called Skip, the tests of pytest in them, and what a
// test logged after "left out: ".
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strings"
)

func main() {
	signal.Notify(make(chan os.Signal, 1), os.Interrupt) // go test ends by it, and this after go test
	status := 0
	r := report{out: os.Stdout, output: map[test][]string{}, skipped: map[string][]string{}}
	for _, line := range os.Args[1:] {
		code, err := r.run(line)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		if status == 0 {
			status = code
		}
	}
	r.finish(status)
	os.Exit(status)
}

// An event is what `go test -json` prints: see go doc test2json.
type event struct {
	Action, Package, Test, Output string
}

const module = "github.com/reflex-dev/reflex-orm/"

type test struct{ pkg, name string }

type report struct {
	out     io.Writer
	output  map[test][]string   // of tests that run
	skipped map[string][]string // what, by why
}

func (r *report) run(line string) (status int, err error) {
	cmd := exec.Command("sh", "-c", line)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	r.read(stdout)
	if err := cmd.Wait(); err != nil {
		if code := cmd.ProcessState.ExitCode(); code > 0 {
			return code, nil
		}
		return 1, err
	}
	return 0, nil
}

func (r *report) read(stdout io.Reader) {
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadString('\n')
		var e event
		switch {
		case line == "":
		case json.Unmarshal([]byte(line), &e) != nil:
			fmt.Fprint(r.out, line) // of the shell, or of go itself
		default:
			r.add(e)
		}
		if err != nil {
			return
		}
	}
}

var (
	progress = regexp.MustCompile(`^=== (RUN|PAUSE|CONT|NAME) `)
	position = regexp.MustCompile(`^\s*[\w.-]+\.go:\d+: `)
	leftOut  = regexp.MustCompile(`^\s*[\w.-]+\.go:\d+: left out: (.*)`)
	pytest   = regexp.MustCompile(`^\s*SKIPPED \[\d+\] ([^ ]+): (.*)`)
)

func (r *report) add(e event) {
	key := test{e.Package, e.Test}
	switch e.Action {
	case "output":
		if e.Test != "" {
			if !progress.MatchString(e.Output) {
				r.output[key] = append(r.output[key], e.Output)
			}
		} else if e.Output != "PASS\n" {
			fmt.Fprint(r.out, e.Output)
		}
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "skip":
		if e.Test != "" {
			r.skip(reason(r.output[key]), strings.TrimPrefix(e.Package, module)+" "+e.Test)
		}
		delete(r.output, key)
	case "pass":
		for _, line := range r.output[key] {
			if found := leftOut.FindStringSubmatch(line); found != nil {
				r.skip(strings.TrimSpace(found[1]), "left out")
			} else if found := pytest.FindStringSubmatch(line); found != nil {
				r.skip(strings.TrimSpace(found[2]), found[1])
			}
		}
		delete(r.output, key)
	case "fail":
		fmt.Fprint(r.out, strings.Join(r.output[key], ""))
		delete(r.output, key)
		if e.Test == "" {
			r.crashed(e.Package)
		}
	}
}

// crashed prints what the tests wrote that have no verdict, because their package
// ended before they did.
func (r *report) crashed(pkg string) {
	for _, key := range slices.SortedFunc(maps.Keys(r.output), func(a, b test) int { return strings.Compare(a.name, b.name) }) {
		if key.pkg == pkg {
			fmt.Fprint(r.out, strings.Join(r.output[key], ""))
			delete(r.output, key)
		}
	}
}

func (r *report) skip(why, what string) {
	if !slices.Contains(r.skipped[why], what) { // pytest runs on several Pythons
		r.skipped[why] = append(r.skipped[why], what)
	}
}

// reason is the first line that a skipped test logged.
func reason(output []string) string {
	for i := len(output) - 1; i >= 0; i-- {
		if position.MatchString(output[i]) {
			return strings.TrimSpace(position.ReplaceAllString(output[i], ""))
		}
	}
	return "no reason"
}

func (r *report) finish(status int) {
	if len(r.skipped) == 0 {
		fmt.Fprintln(r.out, "Skipped: nothing")
	} else {
		fmt.Fprintln(r.out, "Skipped, and why:")
	}
	for _, why := range slices.Sorted(maps.Keys(r.skipped)) {
		fmt.Fprintf(r.out, "  %s\n    %s\n", why, strings.Join(r.skipped[why], ", "))
	}
	if status != 0 {
		fmt.Fprintln(r.out, "FAIL")
	}
}
