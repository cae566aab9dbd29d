package embedpy

import (
	"os"
	"strings"
	"testing"
)

// A program's first file is number 3, its limit is the one it was started with,
// and it may close every descriptor that it can have: Go goes on.
func TestDescriptors(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("this system does not list descriptors")
	}
	const source = `
import os, resource, threading, time

def first(arg):
    return str(os.open("/dev/null", os.O_RDONLY))

def limit(arg):
    return str(resource.getrlimit(resource.RLIMIT_NOFILE)[0])

def close_all(arg):
    os.closerange(3, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1024))
    for _ in range(20):  # Go looks after its poller once in 10 ms
        time.sleep(0.02)
    return "closed"
`
	onEach(t, func(t *testing.T, python *Python) {
		for _, limit := range []string{"256", "1024", "4096"} {
			c := prepare(t, script{Python: python, Source: source, Calls: []string{"first", "limit", "close_all"}})
			c.cmd.Args = []string{"sh", "-c", `ulimit -S -n ` + limit + `; exec "$0"`, c.cmd.Path}
			c.cmd.Path = "/bin/sh"
			c.start()
			outcomes := c.wait()
			for call, want := range map[string]string{"first": "3", "limit": limit, "close_all": "closed"} {
				if got := outcomes[call]; string(got.Answer) != want {
					t.Errorf("limit %s: %s is %q, want %q %s", limit, call, got.Answer, want, got.Err)
				}
			}
			if strings.Contains(c.stderr.String(), "goroutine") {
				t.Errorf("Go has crashed:\n%s", &c.stderr)
			}
		}
	})
}
