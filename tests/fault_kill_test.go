package tests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// envRounds is how often a run is killed at a random moment, for each driver;
// `make soak` sets it to 40, which with five drivers makes 200.
const envRounds = "REFLEX_TEST_ROUNDS"

func rounds(t testing.TB, usual int) int {
	text := os.Getenv(envRounds)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", envRounds, err)
	}
	return n
}

// A run of 50 revisions is killed at a random moment. The next one finishes the
// work, and the schema and what was recorded equal those of an undisturbed run.
func TestKilledRunIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			p := newProject(t, driver)
			p.reviseMany(t, 50)
			p.succeed(t, "upgrade", "head")
			want := p.schema(t)
			p.wantRan(t, 50)

			killed, empty := 0, 0
			for range rounds(t, 3) {
				q := p.again(t)
				run := q.start(t, "upgrade", "head")
				// Somewhere in a revision picked at random, or before the first.
				n, delay := rand.N(51), rand.N(30*time.Millisecond)
				if n > 0 {
					run.until(t, fmt.Sprintf("-> %04d", n))
				} else {
					delay *= 20
				}
				time.Sleep(delay)          // the moment is what is tested
				_ = run.cmd.Process.Kill() // it may have ended
				if run.status(t) == 128+int(syscall.SIGKILL) {
					killed++
				}
				if n == 0 {
					empty++
				}
				q.succeed(t, "upgrade", "head")
				if got := q.schema(t); got != want {
					t.Fatalf("killed %v into revision %d, the next run left:\n%s\nwant:\n%s", delay, n, got, want)
				}
			}
			t.Logf("%d runs, %d of them killed before their end, %d before the first revision", rounds(t, 3), killed, empty)
		})
	}
}
