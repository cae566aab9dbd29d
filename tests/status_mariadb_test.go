package tests

import (
	"strings"
	"testing"
)

// MariaDB shows a transaction what there was when it began: who waits must end
// its own between two looks.
func TestStatusOnMariaDB(t *testing.T) {
	t.Parallel()
	server := startMariaDB(t)
	for _, driver := range []string{"mysql+pymysql", "mysql+aiomysql", "mariadb+asyncmy"} {
		t.Run(driver, func(t *testing.T) {
			p := server.newProject(t, driver)
			p.reviseMany(t, 2)
			if s := p.standing(t); s.Server.Name != "MariaDB" || s.Server.Version == "" || s.VersionTable.Exists || len(s.Pending) != 2 {
				t.Errorf("of a new database: %+v", s)
			}
			p.succeed(t, "upgrade", "0001")
			waits := p.start(t, "status", "--wait", "2m")
			waits.until(t, "Waiting for the database to be at head: 0002 is pending")
			p.succeed(t, "upgrade", "head")
			waits.wantStatus(t, 0)
			if text := waits.stdout.String(); !strings.Contains(text, "Up to date.") {
				t.Errorf("status --wait has printed\n%s", text)
			}
		})
	}
}
