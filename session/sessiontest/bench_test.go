package sessiontest_test

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/reflex-dev/reflex-orm/session/sessiontest"
	"github.com/reflex-dev/reflex-orm/tests/pgtest"
)

// BenchmarkDatabase is what a test pays for its database: a clone with a pool on it,
// and its end. The template is there already.
func BenchmarkDatabase(b *testing.B) {
	command, _ := prepare(b)
	project := sessiontest.Project("../../examples/shop", sessiontest.Command(command))
	sessiontest.URL(b, project)
	for name, begin := range map[string]func(testing.TB){
		"clone":          func(t testing.TB) { sessiontest.URL(t, project) },
		"clone_and_pool": func(t testing.TB) { sessiontest.Pool(t, project) },
	} {
		b.Run(name, func(b *testing.B) {
			var begun time.Duration
			for b.Loop() {
				begun += use(b, begin)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(begun.Seconds()*1000/float64(b.N), "begin-ms")
			b.ReportMetric((b.Elapsed()-begun).Seconds()*1000/float64(b.N), "end-ms")
		})
	}
	b.Run("clone_and_pool_parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				use(b, func(b testing.TB) { sessiontest.Pool(b, project) })
			}
		})
	})
}

// BenchmarkUpgrade is what it would pay without a template.
func BenchmarkUpgrade(b *testing.B) {
	command, _ := prepare(b)
	for b.Loop() {
		cmd := exec.Command(command, "db", "upgrade", "head")
		cmd.Dir = "../../examples/shop"
		cmd.Env = append(os.Environ(), "REFLEX_DB_URL="+pgtest.Shared(b).NewDatabase(b))
		if output, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, output)
		}
	}
}

// use runs f as a test of its own would, with the cleanups at its end, and says what
// f took.
func use(b *testing.B, f func(testing.TB)) time.Duration {
	t := &once{TB: b}
	start := time.Now()
	f(t)
	took := time.Since(start)
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
	return took
}

type once struct {
	testing.TB
	cleanups []func()
}

func (t *once) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }
