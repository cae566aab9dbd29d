package tests

import (
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
)

// Where the server's performance_schema watches metadata locks, as MySQL's does, it is told
// who has the table.
func TestWhoIsInTheWayOnMariaDB(t *testing.T) {
	t.Parallel()
	m := &mariaDB{MariaDBServer: pgtest.MariaDB(t, "--performance-schema=ON",
		"--performance-schema-instrument=wait/lock/metadata/sql/mdl=ON")}
	for _, driver := range mariaDBDrivers[:2] {
		t.Run(driver, func(t *testing.T) {
			p := m.newProject(t, driver)
			p.revise(t, "op.create_table('busy', sa.Column('i', sa.Integer))")
			p.succeed(t, "upgrade", "head")
			p.revise(t, `from sqlalchemy import create_engine
holder = create_engine(op.get_bind().engine.url.set(drivername="mysql+pymysql")).connect()
holder.execute(sa.text("SELECT * FROM busy"))
op.execute("SET lock_wait_timeout = 3")
op.add_column('busy', sa.Column('note', sa.Text))`)
			p.start(t, "upgrade", "head").wantError(t, 6,
				`(?s)Waiting for table busy: held by connection \d+ of app@127\.0\.0\.1, sleep for \d+s\n.*`+
					`the database was busy: .*\nwaiting for table busy: held by .*wait for it longer \(lock_wait_timeout`)
		})
	}
}
