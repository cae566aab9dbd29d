// Package wheel builds the Python wheel and uses it as a Python user would: in
// fresh environments, with no Go and no compiler on PATH, and beside Reflex.
package wheel

import (
	"archive/zip"
	"cmp"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/reflex-dev/reflex-orm/tests/pgtest"
	"github.com/reflex-dev/reflex-orm/tests/venv"
)

var dist struct {
	once         sync.Once
	dir          string
	wheel, sdist string
}

func TestMain(m *testing.M) {
	code := pgtest.Main(m)
	os.RemoveAll(dist.dir)
	os.Exit(code)
}

// distribution builds an sdist from the checkout, and a wheel from the sdist.
func distribution(t *testing.T) (wheel, sdist string) {
	t.Helper()
	dist.once.Do(func() {
		var err error
		if dist.dir, err = os.MkdirTemp("", "reflex-wheel-"); err != nil {
			t.Fatal(err)
		}
		run(t, command{env: venv.CleanEnv()}, tools(t).Bin("python"),
			"-m", "build", "--no-isolation", "--outdir", dist.dir, filepath.Join(venv.Root(), "pyshim"))
		dist.wheel = only(t, filepath.Join(dist.dir, "*.whl"))
		dist.sdist = only(t, filepath.Join(dist.dir, "*.tar.gz"))
	})
	if dist.sdist == "" {
		t.Fatal("the wheel was not built")
	}
	return dist.wheel, dist.sdist
}

func tools(t *testing.T) venv.Env {
	return venv.Get(t, venv.Newest(t), "build", "hatchling")
}

func TestTheWheelIsForEverySystem(t *testing.T) {
	wheel, _ := distribution(t)
	if name := filepath.Base(wheel); !regexp.MustCompile(`^reflex_orm-[0-9.]+-py3-none-any\.whl$`).MatchString(name) {
		t.Errorf("the wheel is called %s", name)
	}
}

func TestTheWheelHasThePackageAndTheCommand(t *testing.T) {
	wheel, _ := distribution(t)
	archive, err := zip.OpenReader(wheel)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	var needs []string
	found := map[string]bool{}
	for _, file := range archive.File {
		top, rest, _ := strings.Cut(file.Name, "/")
		found[cmp.Or(rest, top)] = true
		if top != "reflex_orm" && top != "reflex_driver" && !strings.HasPrefix(top, "reflex_orm-") {
			t.Errorf("the wheel puts %s into site-packages", file.Name)
		}
		switch rest {
		case "METADATA":
			needs = requirements(t, file)
		case "entry_points.txt":
			if text := content(t, file); text != "[console_scripts]\nreflex-db = reflex_driver.console:main\nreflex-orm = reflex_driver.console:main\n" {
				t.Errorf("the wheel brings the commands %s", text)
			}
		}
	}
	for _, name := range []string{"__init__.py", "py.typed", "alembic.ini.tmpl", "templates/env.py.tmpl", "commands.txt", "lock/sqlite.py", "entry_points.txt"} {
		if !found[name] {
			t.Errorf("the wheel has no %s", name)
		}
	}
	if info, err := os.Stat(wheel); err != nil || info.Size() > 256<<10 {
		t.Errorf("the wheel has %d bytes: %v", info.Size(), err)
	}
	if want := []string{"alembic", "sqlalchemy"}; !slices.Equal(needs, want) {
		t.Errorf("the wheel requires %v, not %v", needs, want)
	}
}

func content(t *testing.T, packed *zip.File) string {
	t.Helper()
	file, err := packed.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func requirements(t *testing.T, metadata *zip.File) []string {
	t.Helper()
	var names []string
	for _, match := range regexp.MustCompile(`(?m)^Requires-Dist: (\w+)`).FindAllStringSubmatch(content(t, metadata), -1) {
		names = append(names, match[1])
	}
	slices.Sort(names)
	return names
}

// Neither Go nor a compiler is needed from the sdist.
func TestTheSdistIsInstalled(t *testing.T) {
	_, sdist := distribution(t)
	target := t.TempDir()
	run(t, command{env: bare(t)}, tools(t).Bin("python"),
		"-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "--target", target, sdist)
	for _, name := range []string{"reflex_driver/alembic.ini.tmpl", "reflex_orm/__main__.py"} {
		if _, err := os.Stat(filepath.Join(target, name)); err != nil {
			t.Error(err)
		}
	}
}

const models = `
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
`

const app = `
import asyncio
import reflex_orm as orm
from shop import Customer
from sqlalchemy import select

with orm.session() as s:
    s.add(Customer(name="Ada"))
    s.commit()

async def main():
    async with orm.asession() as s:
        print((await s.scalars(select(Customer.name))).all())
    await orm.async_engine().dispose()

asyncio.run(main())
orm.engine().dispose()
`

// The wheel is the whole product: models, migrations and sessions work with it
// and a driver alone.
func TestAFreshEnvironment(t *testing.T) {
	wheel, _ := distribution(t)
	pythons := map[string]func(t testing.TB) venv.Python{"static": venv.Static}
	for _, python := range venv.Interpreters(t) {
		pythons[python.Version] = func(testing.TB) venv.Python { return python }
	}
	for name, find := range pythons {
		t.Run(name, func(t *testing.T) {
			python := find(t)
			env := fresh(t, python, wheel, "psycopg[binary]", "aiosqlite")
			run(t, command{env: bare(t)}, env.Bin("python"), "-W", "error", "-c", "import reflex_orm")

			t.Run("SQLite", func(t *testing.T) {
				use(t, env, "REFLEX_DB_URL=sqlite:///shop.db", "REFLEX_ASYNC_DB_URL=sqlite+aiosqlite:///shop.db")
			})
			t.Run("PostgreSQL", func(t *testing.T) {
				url := pgtest.Shared(t).NewDatabase(t)
				use(t, env, "REFLEX_DB_URL="+strings.Replace(url, "postgresql:", "postgresql+psycopg:", 1))
			})
		})
	}
}

func use(t *testing.T, env venv.Env, variables ...string) {
	t.Helper()
	project := t.TempDir()
	write(t, filepath.Join(project, "shop.py"), models)
	write(t, filepath.Join(project, "app.py"), app)
	home := t.TempDir()
	in := command{dir: project, env: append([]string{"PATH=/nonexistent", "HOME=" + home}, variables...)}

	run(t, in, env.Bin("reflex-db"), "init", "--models", "shop:Base")
	run(t, in, env.Bin("reflex-db"), "upgrade", "head")
	run(t, in, env.Bin("reflex-db"), "revision", "--autogenerate", "-m", "first tables")
	run(t, in, env.Bin("reflex-db"), "upgrade", "head")
	if current := run(t, in, env.Bin("reflex-db"), "current"); !strings.Contains(current, "(head)") {
		t.Errorf("the database is not at the head: %s", current)
	}
	if out := run(t, in, env.Bin("python"), "-W", "error", "app.py"); out != "['Ada']\n" {
		t.Errorf("the application printed %q", out)
	}

	// What the script's directory is called does not matter, nor how Python starts it.
	if heads := run(t, in, env.Bin("python"), "-m", "reflex_orm", "heads"); !strings.Contains(heads, "(head)") {
		t.Errorf("python -m reflex_orm: the head is %q", heads)
	}
	// As pipx puts it on PATH.
	link := filepath.Join(t.TempDir(), "reflex-db")
	if err := os.Symlink(env.Bin("reflex-db"), link); err != nil {
		t.Fatal(err)
	}
	if heads := run(t, in, link, "heads"); !strings.Contains(heads, "(head)") {
		t.Errorf("through a link, the head is %q", heads)
	}
}

// What pipx and uv's tools do: the command has an environment of its own, and
// goes to that of the project.
func TestTheCommandGoesToTheProject(t *testing.T) {
	wheel, _ := distribution(t)
	tool := fresh(t, venv.Newest(t), wheel)
	project := venv.Get(t, venv.Static(t), "alembic==1.20.1", "sqlalchemy>=2.0.58,<2.2")
	dir := t.TempDir()
	version := func(variables ...string) string {
		t.Helper()
		return run(t, command{dir: dir, env: append(bare(t), variables...)}, tool.Bin("reflex-db"), "version")
	}
	for _, variables := range [][]string{{"VIRTUAL_ENV=" + project.Dir}, {"REFLEX_PYTHON=" + project.Bin("python")}} {
		if out := version(variables...); !strings.Contains(out, "("+project.Bin("python")+")") {
			t.Errorf("%s: %s", variables, out)
		}
	}
	if out := version(); !strings.Contains(out, "("+tool.Dir) {
		t.Errorf("by itself: %s", out)
	}
	if err := os.Symlink(project.Dir, filepath.Join(dir, ".venv")); err != nil {
		t.Fatal(err)
	}
	if out := version(); !strings.Contains(out, dir+"/.venv/bin/python") {
		t.Errorf("in a project with .venv: %s", out)
	}
	help := run(t, command{dir: dir, env: append(bare(t), "PYTHONVERBOSE=1")}, "/bin/sh", "-c", `"$0" --help 2>&1`, tool.Bin("reflex-db"))
	if !strings.Contains(help, "import 'reflex_driver.overview'") || strings.Contains(help, "import 'sqlalchemy'") {
		t.Error("--help imports SQLAlchemy")
	}
}

// A profiler or coverage sees the command end as the script `alembic` does.
func TestTheScriptReturnsToPython(t *testing.T) {
	wheel, _ := distribution(t)
	env := fresh(t, venv.Newest(t), wheel)
	dir := t.TempDir()
	in := command{dir: dir, env: append(bare(t), "REFLEX_DB_URL=sqlite:///shop.db")}
	run(t, in, env.Bin("reflex-db"), "init")
	run(t, in, env.Bin("python"), "-m", "cProfile", "-o", "profile", env.Bin("reflex-db"), "current")
	if info, err := os.Stat(filepath.Join(dir, "profile")); err != nil || info.Size() == 0 {
		t.Errorf("there is no profile: %v", err)
	}
}
