package tests

func init() { parityCases = append(parityCases, driverCases...) }

const (
	// A project without templates, so that both sides have the same URL.
	plainINI = `[alembic]
script_location = alembic
prepend_sys_path = .
path_separator = os
sqlalchemy.url = sqlite:///app.db
` + loggingINI

	loggingINI = `
[loggers]
keys = root,alembic
[handlers]
keys = console
[formatters]
keys = generic
[logger_root]
level = WARNING
handlers = console
[logger_alembic]
level = INFO
handlers =
qualname = alembic
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = generic
[formatter_generic]
format = %(levelname)s [%(name)s] %(message)s
`

	listeningEnv = `
from logging.config import fileConfig
from alembic import context
from sqlalchemy import create_engine, event
fileConfig(context.config.config_file_name)
engine = create_engine(context.config.get_main_option("sqlalchemy.url"))
for name in "begin", "commit", "rollback", "savepoint":
    event.listen(engine, name, lambda *_, name=name: print(name))
event.listen(engine, "before_cursor_execute", lambda *told: print(told[2]))
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True,
        on_version_apply=lambda **told: print("applied", told["heads"], told["step"].up_revision_id))
    with context.begin_transaction():
        context.run_migrations()
`

	plainEnv = `
import os, sys
from logging.config import fileConfig
from alembic import context
from sqlalchemy import create_engine
config = context.config
fileConfig(config.config_file_name)
if os.path.exists("probe.py"):
    exec(compile(open("probe.py").read(), "probe.py", "exec"))
url = config.get_main_option("sqlalchemy.url")
if context.is_offline_mode():
    context.configure(url=url, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    with create_engine(url).connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
`

	// Texts that only look as if they held a password.
	lookalikes = `"""http://localhost:8080/u?mail=ada@example.com, and password: Mapped[str]

Revision ID: aa01
"""
revision = "aa01"
down_revision = branch_labels = depends_on = None
from alembic import op

def upgrade():
    op.execute("CREATE TABLE t (password TEXT, url TEXT)")
    op.execute("""INSERT INTO t VALUES ('alembic', 'http://localhost:8080/u?mail=ada@example.com')""")
    op.execute("""INSERT INTO t VALUES ('password', 'https://app:alembic@h/?password=alembic&passwd=x')""")
    op.execute("""INSERT INTO t VALUES ('Xy7-Tr0ub4dor', 'postgresql://app:Xy7-Tr0ub4dor@h/')""")
`

	// What it says of itself goes to both streams.
	says = `
import traceback, logging, warnings
def failing():
    password: str = "alembic"; passwd = {"password": "Xy7-Tr0ub4dor"}; raise KeyError("http://localhost:8080/u?mail=ada@example.com")
try:
    failing()
except KeyError:
    traceback.print_exc()
    logging.getLogger("alembic.password").exception("the alembic way: password is set, token: alembical")
    def excepthook():
        sys.excepthook(*sys.exc_info())
    excepthook()
print("the user is app, the password's length is 7; alembic, password, alembic@h, xXy7-Tr0ub4dor", file=sys.stderr)
print("postgresql://app:alembic@h/x?password=alembic Xy7-Tr0ub4dor")
sys.stderr.writelines(["alembic\n", "password\n"])
print(sys.stderr.write("alembic password\n"))
`

	processProbe = `
import gc, logging, locale, signal, threading, warnings
main = sys.modules["__main__"]
print([os.path.realpath(sys.argv[0]), *sys.argv[1:]], os.path.realpath(main.__file__), main.__spec__, os.path.realpath(sys.path[1]))
print([os.path.realpath(a) for a in sys.orig_argv], os.path.basename(sys.argv[0]) == "alembic", len(sys.path))
print(sys.warnoptions, [f for f in warnings.filters if "multi-threaded" not in str(f)], gc.isenabled(), gc.get_threshold(), locale.setlocale(locale.LC_ALL))
print(threading.enumerate() == [threading.main_thread()], logging.root.level, logging.lastResort, sys.gettrace(), sys.getrecursionlimit(), sys.getswitchinterval())
for name in "excepthook", "unraisablehook", "displayhook", "breakpointhook": print(getattr(sys, name) is getattr(sys, f"__{name}__"))
for s in sys.stdin, sys.stdout, sys.stderr: print(s, type(s), type(getattr(s, "write")), s.line_buffering, s.errors, s.encoding, s.isatty(), vars(s))
print(sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__, signal.set_wakeup_fd(-1), signal.pthread_sigmask(signal.SIG_BLOCK, []))
print(oct(os.umask(0o22)), os.getcwd(), os.getpgid(0) == os.getpid(), os.environ.get("VIRTUAL_ENV"), sorted(set(os.environ) - {"REFLEX_DB_URL"}))
import argparse; print(argparse.ArgumentParser().prog)
`

	excepthook = `
import atexit, sys
def hook(kind, value, traceback):
    print("told", kind.__name__, value, sys.last_value is value)
sys.excepthook = hook
atexit.register(lambda: print("at the end", type(getattr(sys, "last_value", None)).__name__))
raise LookupError("lost")
`

	again = `
if "AGAIN" not in os.environ:
    import multiprocessing, subprocess
    os.environ["AGAIN"] = "1"
    print(multiprocessing.get_context("spawn").Pool(1).map(os.path.basename, ["a/b"]), flush=True)
    print(subprocess.run([sys.argv[0], "heads"], capture_output=True, text=True).stdout, flush=True)
    print(subprocess.run([sys.executable, sys.modules["__main__"].__file__, "heads"], capture_output=True, text=True).stdout, flush=True)
    os.execv(sys.executable, [sys.executable, *sys.argv])
print("again")
`

	secondINI = `[DEFAULT]
script_location = alembic
prepend_sys_path = .
path_separator = os
sqlalchemy.url = sqlite:///%(file)s.db
file = shared
[alembic]
sqlalchemy.url = sqlite:///app.db
[archive]
sqlalchemy.url = sqlite:///%(here)s/archive%%20.db
[interpolated]
file = interpolated
` + loggingINI
)

var driverCases = []parityCase{
	{
		name: "text like secrets",
		env: []string{"REFLEX_ASYNC_DB_URL=postgresql+asyncpg://app:alembic@h/app",
			"REFLEX_DB_LOCK_URL=postgresql://app:password@h/app"},
		files: map[string]string{"alembic.ini": plainINI, "alembic/env.py": plainEnv, "alembic/script.py.mako": "",
			"alembic/versions/aa01.py": lookalikes, "probe.py": says},
		run: []string{"alembic history", "alembic history -v", "alembic show aa01",
			"alembic upgrade head --sql", "alembic upgrade head", "alembic current -v"},
	},
	{
		name: "an answer with the run's own password",
		env:  []string{"REFLEX_ASYNC_DB_URL=postgresql+asyncpg://app:Xy7-Tr0ub4dor@h/app"},
		files: map[string]string{"alembic.ini": plainINI, "alembic/env.py": plainEnv, "alembic/script.py.mako": "",
			"alembic/versions/aa01.py": lookalikes, "probe.py": `print("postgresql://app:Xy7-Tr0ub4dor@h", type(sys.stdout.write), vars(sys.stdout))`},
		run: []string{"alembic upgrade head --sql", "alembic upgrade head"},
	},
	{
		// What sums a run up asks the database nothing, and is in no callback's way.
		name: "callbacks and events",
		files: map[string]string{"alembic.ini": plainINI, "alembic/env.py": listeningEnv, "alembic/script.py.mako": "",
			"alembic/versions/aa01.py": lookalikes},
		run: []string{"alembic upgrade head", "alembic upgrade head", "alembic current", "alembic stamp base", "alembic stamp head"},
	},
	{
		name:  "the process",
		files: map[string]string{"alembic.ini": plainINI, "alembic/env.py": plainEnv, "probe.py": processProbe},
		run:   []string{"alembic current", "alembic -x a=b current -v", "PYTHONWARNINGS=ignore PYTHONSAFEPATH=1 alembic current"},
	},
	{
		name:  "once more",
		files: map[string]string{"alembic.ini": plainINI, "alembic/env.py": plainEnv, "probe.py": again},
		run:   []string{"alembic -x a=b current"},
	},
	{
		name: "sections",
		files: map[string]string{"alembic.ini": secondINI, "alembic/env.py": plainEnv, "alembic/script.py.mako": "",
			"alembic/versions/aa01.py": lookalikes},
		run: []string{"alembic -n archive upgrade head", "alembic -n interpolated stamp aa01", "alembic current",
			"alembic -n archive current", "alembic -n archive upgrade head --sql", "!alembic -n archiv current"},
	},
	{
		name: "no alembic.ini",
		files: map[string]string{"pyproject.toml": "[tool.alembic]\nscript_location = \"alembic\"\n", "alembic/script.py.mako": "",
			"alembic/env.py": "from alembic import context\nprint(context.config.config_file_name, context.config.toml_file_name)\n"},
		run: []string{"alembic current", "alembic upgrade head 2>&-"},
	},
	{
		name: "encodings",
		files: map[string]string{"alembic.ini": plainINI, "alembic/env.py": plainEnv,
			"probe.py": "import locale\nprint(sys.flags.utf8_mode, locale.getpreferredencoding(False), sys.getfilesystemencoding(), sys.stdout.encoding, open('probe.py').encoding)"},
		run: []string{"LC_ALL=C alembic current", "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 alembic current", "PYTHONUTF8=1 alembic current", "LC_ALL=POSIX PYTHONIOENCODING=latin-1 alembic current"},
	},
	{
		name:  "an exit of its own",
		files: map[string]string{"alembic.ini": plainINI, "alembic/env.py": "import os, sys\nprint('before')\nsys.exit(int(os.environ['STATUS']))\n"},
		run:   []string{"STATUS=0 alembic upgrade head 2>&-", "STATUS=7 alembic upgrade head 2>&-; test $? = 7"},
	},
	{
		name: "abbreviations",
		files: map[string]string{"alembic.ini": plainINI, "alembic/env.py": plainEnv, "alembic/script.py.mako": "",
			"alembic/versions/aa01.py": lookalikes},
		run: []string{"alembic upgrade head --s", "alembic current --v", "alembic upgrade head --t x"},
	},
	{
		name:  "what nobody catches",
		files: map[string]string{"alembic.ini": plainINI, "alembic/env.py": excepthook},
		run:   []string{"alembic upgrade head 2>&-; test $? = 1"},
	},
	{
		name:  "a name that is no UTF-8",
		files: map[string]string{"plain.ini": plainINI, "alembic/env.py": plainEnv},
		run:   []string{`name=$(printf 'caf\351.ini'); mv plain.ini "$name"; alembic -c "$name" current && mv "$name" plain.ini`},
	},
}
