package tests

import (
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

// What the lock adds to a run in round trips: one question on the migration's connection; two
// to connect once more, and one question that sets that up and takes the lock; one before each
// commit. asyncpg asks the server to prepare each of these statements, once.
func TestLockRoundTrips(t *testing.T) {
	t.Parallel()
	const revisions = 3
	server := pgtest.Start(t)
	python := venv.Get(t, venv.Newest(t), append(append([]string{}, requirements...), "pg8000")...)
	for driver, want := range map[string]struct{ upToDate, upgrade int }{
		"postgresql+psycopg":  {4, 4 + revisions},
		"postgresql+psycopg2": {4, 4 + revisions},
		"postgresql+asyncpg":  {6, 6 + revisions + 1},
		"postgresql+pg8000":   {4, 4 + revisions},
	} {
		t.Run(driver, func(t *testing.T) {
			way := startProxy(t, server.Port, 10)
			trips := func(p *project, options ...string) int {
				before := way.asked()
				p.succeed(t, append([]string{"upgrade", "head"}, options...)...)
				return way.asked() - before
			}
			p := &project{dir: t.TempDir(), python: python}
			p.succeed(t, "init")
			p.reviseMany(t, revisions)
			on := func() *project {
				other := *p
				other.url = withDriver(way.url(server.NewDatabase(t), server), driver)
				return &other
			}
			bare, locked := on(), on()
			if more := trips(locked) - trips(bare, "--no-lock"); more != want.upgrade {
				t.Errorf("%d round trips more to run %d revisions; want %d", more, revisions, want.upgrade)
			}
			if more := trips(locked) - trips(bare, "--no-lock"); more != want.upToDate {
				t.Errorf("%d round trips more where nothing is to do; want %d", more, want.upToDate)
			}
		})
	}
}
