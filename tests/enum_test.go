package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

const enumModels = `import enum
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase): pass

class Colour(enum.Enum):
    RED = 1
    GREEN = 2

class Paint(Base):
    __tablename__ = "paint"
    id: Mapped[int] = mapped_column(primary_key=True)
    colour: Mapped[Colour]
`

// TestEnumOnPostgreSQL does what the README says of enum types: with one line in
// env.py they are made, changed and taken back with the columns that have them.
func TestEnumOnPostgreSQL(t *testing.T) {
	t.Parallel()
	env := venv.Get(t, venv.Newest(t), "alembic==1.20.1", "sqlalchemy>=2.0.58,<2.2", "psycopg[binary]", "alembic-postgresql-enum")
	dir := t.TempDir()
	environment := venv.CleanEnv("VIRTUAL_ENV="+env.Dir, "XDG_CACHE_HOME="+t.TempDir(),
		"PATH="+env.Bin("")+":"+os.Getenv("PATH"),
		"REFLEX_DB_URL="+withDriver(pgtest.Shared(t).NewDatabase(t), "postgresql+psycopg"))
	run := func(args ...string) {
		t.Helper()
		cmd := reflexCommand(t, dir, append([]string{"db"}, args...)...)
		cmd.Env = environment
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("reflex db %v: %v\n%s", args, err, out)
		}
	}
	file := filepath.Join(dir, "models.py")
	write(t, file, enumModels)
	run("init", "--models", "models:Base")
	envPy := filepath.Join(dir, "alembic", "env.py")
	content := mustReadFile(t, envPy)
	commented := "# import alembic_postgresql_enum"
	if !strings.Contains(content, commented) {
		t.Fatal("env.py does not say how")
	}
	write(t, envPy, strings.Replace(content, commented, commented[2:], 1))

	run("revision", "--autogenerate", "-m", "paint", "--rev-id", "0001")
	run("upgrade", "head")
	run("downgrade", "base")
	run("upgrade", "head")
	run("check")
	// The same type in one more table, in a column of another; and one value more.
	write(t, file, strings.Replace(enumModels, "GREEN = 2", "GREEN = 2\n    BLUE = 3", 1)+`
class Wall(Base):
    __tablename__ = "wall"
    id: Mapped[int] = mapped_column(primary_key=True)
    colour: Mapped[Colour]
    ceiling: Mapped[Colour | None]
`)
	run("revision", "--autogenerate", "-m", "wall", "--rev-id", "0002")
	run("upgrade", "head")
	run("check")
	run("downgrade", "base")
	run("upgrade", "head")
	run("check")
	cmd := exec.Command(env.Bin("alembic"), "check") // and nothing of ours
	cmd.Dir, cmd.Env = dir, environment
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("alembic check: %v\n%s", err, out)
	}
}

func mustReadFile(t testing.TB, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
