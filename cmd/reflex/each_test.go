package main

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The options of --each may stand anywhere, and are not taken without it.
func TestTakeEach(t *testing.T) {
	for _, c := range []struct {
		args, rest []string
		want       *eachOptions
	}{
		{[]string{"upgrade", "head", "--jobs", "2"}, []string{"upgrade", "head", "--jobs", "2"}, nil},
		{[]string{"upgrade", "head", "--jobs"}, []string{"upgrade", "head", "--jobs"}, nil},
		{[]string{"--each=f", "-x", "a={}", "--jobs", "2", "upgrade", "--keep-going", "head"},
			[]string{"-x", "a={}", "upgrade", "head"}, &eachOptions{list: "f", jobs: 2, keepGoing: true}},
		{[]string{"upgrade", "--each", "-", "--", "--first", "3"}, []string{"upgrade", "--", "--first", "3"},
			&eachOptions{list: "-", jobs: (&eachOptions{}).jobs}},
	} {
		got, rest, err := takeEach(c.args)
		if err != nil || !slices.Equal(rest, c.rest) || (got == nil) != (c.want == nil) {
			t.Errorf("%q: %+v %q %v", c.args, got, rest, err)
			continue
		}
		if got != nil && (got.list != c.want.list || got.keepGoing != c.want.keepGoing || got.first != 0) {
			t.Errorf("%q: %+v", c.args, got)
		}
	}
}

// Whatever fails, and in whatever order databases end: each is begun once, no
// other before all of the first are well, and none after a failure.
func TestPlan(t *testing.T) {
	for range 2000 {
		p := plan{all: rand.N(12), first: rand.N(14), keepGoing: rand.N(2) == 0}
		jobs, bad := 1+rand.N(4), rand.N(15)
		failed := false
		var running []int
		for {
			if p.mayBegin() && len(running) < jobs {
				if p.begun >= p.first && p.first > 0 && (len(running) > 0 && running[0] < p.first) {
					t.Fatalf("%d is begun while %d of the first %d runs", p.begun, running[0], p.first)
				}
				if failed && (!p.keepGoing || p.begun >= p.first && bad < p.first) {
					t.Fatalf("%+v: %d is begun after a failure", p, p.begun)
				}
				running = append(running, p.begun)
				p.begin()
				continue
			}
			if len(running) == 0 {
				break
			}
			i := rand.N(len(running))
			well := running[i] != bad
			failed = failed || !well
			running = slices.Delete(running, i, i+1)
			p.end(well)
		}
		if p.running != 0 || !failed && p.begun != p.all {
			t.Fatalf("it ended with %+v", p)
		}
	}
}
