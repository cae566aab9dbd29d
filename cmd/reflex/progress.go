package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/term"
)

// progress tells a person that a lock is waited for: on a terminal in one line
// that is renewed in place, elsewhere in a line now and then.
type progress struct {
	out      *os.File
	terminal bool
	last     time.Time
}

const progressInterval = 30 * time.Second // between two lines where there is no terminal

func newProgress(out *os.File) *progress {
	return &progress{out: out, terminal: isTerminal(out)}
}

func (p *progress) show(holder string, rest time.Duration) {
	line := fmt.Sprintf("Waiting for another migration: %s; %v left", holder, rest.Round(time.Second))
	switch {
	case p.terminal:
		fmt.Fprintf(p.out, "\r%s\x1b[K", p.cut(line))
	case time.Since(p.last) >= progressInterval:
		fmt.Fprintln(p.out, line)
	default:
		return
	}
	p.last = time.Now()
}

// cut keeps line in one row: a terminal can't renew two in place.
func (p *progress) cut(line string) string {
	width, _, err := term.GetSize(int(p.out.Fd()))
	runes := []rune(line)
	if err != nil || width < 1 || len(runes) < width {
		return line
	}
	return string(runes[:width-1])
}

// clear takes the line on the terminal away.
func (p *progress) clear() {
	if p.terminal && !p.last.IsZero() {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

func isTerminal(file *os.File) bool { return term.IsTerminal(int(file.Fd())) }
