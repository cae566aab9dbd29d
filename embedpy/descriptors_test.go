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
import os, resource, time

def first():
    print("first", os.open("/dev/null", os.O_RDONLY))

def limit():
    print("limit", resource.getrlimit(resource.RLIMIT_NOFILE)[0])

def close_all():
    os.closerange(3, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1024))
    for _ in range(20):  # Go looks after its poller once in 10 ms
        time.sleep(0.02)
    print("closed")

`
	onEach(t, func(t *testing.T, python *Python) {
		for _, limit := range []string{"256", "1024", "4096"} {
			c := prepare(t, script{Python: python, Source: source, Calls: []string{"first", "limit", "close_all"}})
			c.through(`ulimit -S -n ` + limit + `; exec "$0"`)
			c.start()
			outcomes := c.wait()
			if want := "first 3\nlimit " + limit + "\nclosed\n"; c.stdout.String() != want || outcomes["close"].Err != "" {
				t.Errorf("limit %s: %q %s, want %q", limit, &c.stdout, outcomes["close"].Err, want)
			}
			if strings.Contains(c.stderr.String(), "goroutine") {
				t.Errorf("Go has crashed:\n%s", &c.stderr)
			}
		}
	})
}
