package tests

import (
	"slices"
	"strings"
)

func badInputs() []badInput {
	return slices.Concat(
		badURLs(), badConfigurations(), badRevisions(), badEnvironments(), badInterpreters(), badSurroundings(),
	)
}

// url is a case of REFLEX_DB_URL.
func url(name, url string, status int, message string) badInput {
	return badInput{name: "url/" + name, env: []string{"REFLEX_DB_URL=" + url}, status: status, message: message}
}

func badURLs() []badInput {
	return []badInput{
		url("not a URL", "nonsense", 4, `^Error: The database URL can't be used: Could not parse`),
		url("no scheme", "u:hunter22@127.0.0.1/x", 4, `can't be used: Could not parse`),
		url("postgres", "postgres://u:hunter22@127.0.0.1/x", 4, `^Next: write postgresql://`),
		url("unknown database", "nosuch://u:hunter22@127.0.0.1/x", 4, `can't be used: .*nosuch`),
		url("unknown driver", "postgresql+nosuch://u:hunter22@127.0.0.1/x", 4, `can't be used: .*nosuch`),
		url("driver that is not installed", "mysql+pymysql://u:hunter22@127.0.0.1/x", 3, `^Next: .*-m pip install "PyMySQL"`),
		url("scheme only", "postgresql+psycopg://", 4, `can't be reached`),
		url("port is a word", "postgresql+psycopg://u:hunter22@127.0.0.1:port/x", 4, `^Error: The database URL has a port that is not a number`),
		url("port too large", "postgresql+psycopg://u:hunter22@127.0.0.1:99999/x", 4, `can't be reached: .*99999`),
		url("negative port", "postgresql+psycopg://u:hunter22@127.0.0.1:-1/x", 4, `invalid port number`),
		url("at sign in the password", "postgresql+psycopg://u:hunter@22@127.0.0.1:1/x", 4, `^Error: The database URL has a second @`),
		url("slash in the password", "postgresql+psycopg://u:hunter/22@127.0.0.1:1/x", 4, `can't be reached|can't be used`),
		url("lone percent sign", "postgresql+psycopg://u:50%off@127.0.0.1:1/x", 4, `can't be reached: .*refused`),
		url("percent-encoded byte that is not UTF-8", "postgresql+psycopg://u:%ff@127.0.0.1:1/x", 4, `can't be reached: .*refused`),
		url("percent-encoded NUL", "postgresql+psycopg://u:hunter22@127.0.0.1:1/a%00b", 4, `can't be`),
		url("bytes that are not UTF-8", "postgresql+psycopg://u:\xff@127.0.0.1:1/x", 4, `can't be`),
		url("newline inside", "postgresql+psycopg://u:hunter22@127.0.0.1:1\n/x", 4, `can't be`),
		url("quotes around it", "'postgresql+psycopg://u:hunter22@127.0.0.1:1/x'", 4, `^Error: The database URL is in quotes`),
		url("long", "postgresql+psycopg://u:hunter22@127.0.0.1:1/"+strings.Repeat("x", 100_000), 4, `can't be`),
		url("unknown parameter", "postgresql+psycopg://u:hunter22@127.0.0.1:1/x?nosuch=1", 4, `nosuch`),
		url("parameter with a bad value", "postgresql+psycopg://u:hunter22@127.0.0.1:1/x?sslmode=perhaps", 4, `sslmode`),
		url("open bracket", "postgresql+psycopg://u:hunter22@[::1/x", 4, `can't be`),
		url("unknown host", "postgresql+psycopg://u:hunter22@nosuch.invalid/x", 4, `can't be reached: .*nosuch.invalid`),
		url("nobody listens, psycopg2", "postgresql+psycopg2://u:hunter22@127.0.0.1:1/x", 4, `can't be reached: .*refused`),
		url("nobody listens, asyncpg", "postgresql+asyncpg://u:hunter22@127.0.0.1:1/x", 4, `can't be reached: .*127.0.0.1`),
		url("no such socket", "postgresql+psycopg://u:hunter22@/x?host=/nowhere", 4, `can't be reached: .*/nowhere`),
		{name: "url/no database server", run: "REFLEX_DB_URL=postgresql+psycopg://u:hunter22@127.0.0.1:$HTTP/x exec reflex db current",
			status: 4, message: `can't be reached`},
		{name: "url/no database server, asyncpg", run: "REFLEX_DB_URL=postgresql+asyncpg://u:hunter22@127.0.0.1:$HTTP/x exec reflex db current",
			status: 4, message: `can't be reached`},
		url("SQLite with two slashes", "sqlite://app.db", 4, `can't be used: Invalid SQLite URL`),
		url("SQLite in a missing directory", "sqlite:///nowhere/app.db", 4, `the directory must be there`),
		url("SQLite on a directory", "sqlite:///alembic", 4, `unable to open`),
		url("SQLite on another kind of file", "sqlite:///alembic.ini", 4, `not a database`),
		url("SQLite on another kind of file, aiosqlite", "sqlite+aiosqlite:///alembic.ini", 4, `not a database`),
		{name: "url/SQLite on a cut database", run: `reflex db upgrade head && truncate -s 100 app.db && exec reflex db current`, status: 1, message: `malformed`},
		{name: "url/SQLite, read-only file", notRoot: true, run: `touch app.db; chmod 400 app.db; exec reflex db upgrade head`, status: 1, message: `readonly`},
	}
}

// ini is a case of alembic.ini's text.
func ini(name, text string, status int, message string) badInput {
	return badInput{name: "ini/" + name, files: map[string]string{"alembic.ini": text}, status: status, message: message}
}

// sh is a case that a script makes.
func sh(name, run string, status int, message string) badInput {
	return badInput{name: name, run: run, status: status, message: message}
}

func badConfigurations() []badInput {
	const logging = "\n[loggers]\nkeys=root\n[handlers]\nkeys=\n[formatters]\nkeys=\n[logger_root]\nhandlers=\n"
	return []badInput{
		ini("empty", "", 1, `script_location`),
		ini("text before any section", "script_location = alembic\n", 1, `no section headers.*alembic.ini`),
		ini("section of another name", "[other]\nscript_location = alembic\n", 1, `script_location`),
		ini("section twice", "[alembic]\nscript_location = alembic\n[alembic]\n", 1, `alembic.ini.*line +3.*section 'alembic' already exists`),
		ini("unknown interpolation", "[alembic]\nscript_location = %(nosuch)s/alembic\n", 1, `nosuch`),
		ini("lone percent sign", "[alembic]\nscript_location = 50%off\n", 1, `'%' must be followed`),
		ini("interpolation in a ring", "[alembic]\na = %(b)s\nb = %(a)s\nscript_location = %(a)s\n", 1, `[Rr]ecursion`),
		ini("byte order mark", "\ufeff[alembic]\nscript_location = alembic\n", 1, `no section headers.*alembic.ini`),
		ini("NUL", "[alembic]\nscript_location = a\x00b\n", 1, `null`),
		ini("binary", "\x7fELF\x02\x01\xff\xfe\x00", 1, `alembic.ini can't be used`),
		ini("UTF-16", "\xff\xfe[\x00a\x00]\x00", 1, `alembic.ini can't be used`),
		ini("script_location is not there", "[alembic]\nscript_location = nowhere\n", 1, `nowhere`),
		ini("script_location is a file", "[alembic]\nscript_location = alembic.ini\n", 1, `alembic.ini`),
		ini("script_location of a package that is not there", "[alembic]\nscript_location = nosuch:migrations\n", 1, `nosuch`),
		ini("script_location empty", "[alembic]\nscript_location =\n", 1, `script_location|env.py`),
		ini("no logging", "[alembic]\nscript_location = alembic\n", 1, `formatters`),
		ini("unknown path separator", "[alembic]\nscript_location = alembic\npath_separator = nosuch\nversion_locations = a\n"+logging, 1, `nosuch`),
		ini("version_locations not there", "[alembic]\nscript_location = alembic\nversion_locations = nowhere\npath_separator = os\n"+logging, 0, ``),
		{name: "ini/file_template", files: map[string]string{"alembic.ini": "[alembic]\nscript_location = alembic\nfile_template = %%(nosuch)s\n" + logging},
			run: "reflex db revision -m x", status: 1, message: `nosuch`},
		{name: "ini/timezone", files: map[string]string{"alembic.ini": "[alembic]\nscript_location = alembic\ntimezone = Nowhere/At All\n" + logging},
			run: "reflex db revision -m x", status: 1, message: `(?i)nowhere/at all`},
		{name: "ini/output_encoding", files: map[string]string{"alembic.ini": "[alembic]\nscript_location = alembic\noutput_encoding = nosuch\n" + logging},
			run: "reflex db revision -m x", status: 1, message: `nosuch`},
		{name: "ini/unknown hook", files: map[string]string{"alembic.ini": "[alembic]\nscript_location = alembic\n[post_write_hooks]\nhooks = a\na.type = nosuch\n" + logging},
			run: "reflex db revision -m x", status: 1, message: `nosuch`},
		sh("ini/a directory", "rm alembic.ini; mkdir alembic.ini; exec reflex db upgrade head", 0, ``),
		sh("ini/-c names a directory", "exec reflex db -c alembic upgrade head", 2, `^Error: There is no configuration file alembic`),
		sh("ini/ALEMBIC_CONFIG names a directory", "ALEMBIC_CONFIG=alembic exec reflex db upgrade head", 1, `alembic`),
		sh("ini/a dangling link", "ln -sf nowhere alembic.ini; exec reflex db heads", 0, ``),
		sh("ini/a link to itself", "ln -sf alembic.ini alembic.ini; exec reflex db heads", 0, ``),
		sh("ini/unknown -n", "exec reflex db -n nosuch heads", 2, `^Error: -n names the section nosuch, which alembic.ini does not have`),
		{name: "ini/unreadable", notRoot: true, run: "chmod 0 alembic.ini; exec reflex db heads", status: 1, message: `alembic.ini.*denied`},
		sh("no env.py", "rm alembic/env.py; exec reflex db upgrade head", 1, `env.py`),
		sh("no script.py.mako", "rm alembic/script.py.mako; exec reflex db revision -m x", 1, `script.py.mako`),
		sh("versions is a file", "rm -r alembic/versions; touch alembic/versions; exec reflex db revision -m x", 1, `versions`),
		sh("versions is not there", "rm -r alembic/versions; exec reflex db upgrade head", 0, ``),
		{name: "bad script.py.mako", files: map[string]string{"alembic/script.py.mako": "${nosuch.nosuch"}, run: "reflex db revision -m x", status: 1, message: `(?i)expected|syntax|mako`},

		toml("not TOML", "[tool.alembic\n", 1, `pyproject.toml`),
		toml("not UTF-8", "\xff\xfe", 1, `pyproject.toml can't be used: Unicode`),
		toml("tool is a string", "tool = 'x'\n", 1, `pyproject.toml`),
		toml("tool.alembic is a string", "[tool]\nalembic = 'x'\n", 1, `pyproject.toml`),
		toml("script_location is a number", "[tool.alembic]\nscript_location = 3\n", 1, `script_location|pyproject.toml`),
		toml("script_location is a list", "[tool.alembic]\nscript_location = ['a']\n", 1, `script_location|pyproject.toml`),
		toml("unknown interpolation", "[tool.alembic]\nscript_location = '%(nosuch)s'\n", 1, `nosuch`),
		sh("pyproject/a directory", "rm alembic.ini; mkdir pyproject.toml; exec reflex db heads", 1, `directory: 'pyproject.toml'`),
		sh("pyproject/bad beside a good ini", "echo '[' >pyproject.toml; exec reflex db heads", 1, `pyproject.toml.*line 1`),
	}
}

// toml is a case of pyproject.toml, in a project without alembic.ini.
func toml(name, text string, status int, message string) badInput {
	return badInput{name: "pyproject/" + name, files: map[string]string{"pyproject.toml": text},
		run: "rm alembic.ini; exec reflex db upgrade head", status: status, message: message}
}

// revision is a case of a third revision file, after 0002.
func revision(name, text string, status int, message string) badInput {
	return badInput{name: "revision/" + name, files: map[string]string{"alembic/versions/0003.py": text}, status: status, message: message}
}

func badRevisions() []badInput {
	const good = "revision = '0003'\ndown_revision = '0002'\n"
	return []badInput{
		revision("syntax error", good+"def upgrade(:\n", 1, `0003.py", line 3.*SyntaxError`),
		revision("indentation", good+"def upgrade():\npass\n", 1, `0003.py", line 4.*IndentationError`),
		revision("not UTF-8", good+"x = '\xff'\n", 1, `0003.py.*SyntaxError`),
		revision("NUL", good+"# \x00\n", 1, `null bytes`),
		revision("empty", "", 1, `0003.py`),
		revision("no revision", "down_revision = '0002'\n", 1, `0003.py`),
		revision("revision is None", "revision = None\ndown_revision = '0002'\n", 1, `0003.py can't be used`),
		revision("revision is a number", "revision = 3\ndown_revision = '0002'\ndef upgrade(): pass\n", 1, `0003.py can't be used`),
		revision("revision with reserved characters", "revision = 'a@b'\ndown_revision = '0002'\ndef upgrade(): pass\n", 1, `'@' not allowed`),
		revision("down_revision is a number", "revision = '0003'\ndown_revision = 2\ndef upgrade(): pass\n", 1, `.`),
		revision("its own parent", "revision = '0003'\ndown_revision = '0003'\n", 1, `(?i)loop|cycle`),
		revision("depends on itself", good+"depends_on = '0003'\n", 1, `(?i)loop|cycle`),
		{name: "revision/cycle", files: map[string]string{"alembic/versions/a.py": "revision = 'a'\ndown_revision = 'b'\n", "alembic/versions/b.py": "revision = 'b'\ndown_revision = 'a'\n"}, status: 1, message: `(?i)cycle`},
		revision("missing parent", "revision = '0003'\ndown_revision = 'nosuch'\n", 1, `^Error: 0003 \(alembic/versions/0003.py\) refers to the revision nosuch`),
		revision("missing dependency", good+"depends_on = 'nosuch'\n", 1, `^Error: 0003 \(alembic/versions/0003.py\) refers to the revision nosuch`),
		revision("duplicate id", "revision = '0002'\ndown_revision = '0001'\ndef upgrade(): pass\n", 1, `^Error: The revision 0002 is in 2 files: .*0002_second.py, alembic/versions/0003.py`),
		{name: "revision/label of two", files: map[string]string{"alembic/versions/a.py": "revision = 'a'\ndown_revision = None\nbranch_labels = ('x',)\n", "alembic/versions/b.py": "revision = 'b'\ndown_revision = None\nbranch_labels = ('x',)\n"}, status: 1, message: `'x'`},
		revision("two heads", "revision = '0003'\ndown_revision = '0001'\n", 1, `Multiple head.*^Next: .*merge heads`),
		revision("import of what is not there", "import nosuch\n"+good, 1, `0003.py", line 1.*No module named 'nosuch'`),
		revision("import that raises", "raise ValueError('as planned')\n", 1, `^Error: stopped at alembic/versions/0003.py:1, before any revision was run; app.db is at <base>$.*0003.py", line 1.*^ValueError: as planned`),
		revision("exit at import", "import sys\nsys.exit(0)\n", 0, `0003.py", line 2.*sys.exit`),
		revision("exit 0 in upgrade", good+"import sys\ndef upgrade(): sys.exit(0)\n", 0, `0003.py", line 4.*sys.exit`),
		revision("no upgrade", good, 1, `0003.py.*upgrade|upgrade`),
		revision("upgrade fails", good+"from alembic import op\ndef upgrade(): op.execute('nonsense')\n", 1, `^Error: 0003 .alembic/versions/0003.py:4. failed and was rolled back; app.db is at 0002$.*0003.py", line 4.*^OperationalError: .*nonsense`),
		revision("upgrade recurses", good+"def upgrade(): upgrade()\n", 1, `RecursionError`),
		revision("upgrade raises an odd error", good+"class Odd(BaseException): pass\ndef upgrade(): raise Odd('as planned')\n", 1, `0003.py", line 4.*Odd: as planned`),
		sh("revision/a directory", "mkdir alembic/versions/0003.py; exec reflex db heads", 0, ``),
		sh("revision/a dangling link", "ln -s nowhere alembic/versions/0003.py; exec reflex db heads", 0, ``),
		sh("revision/a name that is not UTF-8", "printf 'revision = (' >\"alembic/versions/a$(printf '\\377').py\"; exec reflex db heads", 1, `SyntaxError`),
		{name: "revision/unreadable", notRoot: true, run: "chmod 0 alembic/versions/0001*; exec reflex db heads", status: 1, message: `0001.*denied|denied.*0001`},
	}
}

// envPy is a case of env.py: these lines, and then the one that init writes.
func envPy(name, lines string, status int, message string) badInput {
	return badInput{name: "env.py/" + name, files: map[string]string{"before.py": lines},
		run:    "cat before.py alembic/env.py >all.py; mv all.py alembic/env.py; exec reflex db upgrade head",
		status: status, message: message}
}

func badEnvironments() []badInput {
	return []badInput{
		envPy("syntax error", "def (\n", 1, `env.py", line 1.*SyntaxError`),
		envPy("not UTF-8", "x = '\xff'\n", 1, `(?i)utf-8`),
		envPy("raises", "raise ValueError('as planned')\n", 1, `^Error: stopped at alembic/env.py:1, before any revision was run$.*env.py", line 1.*^ValueError: as planned`),
		envPy("raises what can't be printed", "class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd\n", 1, `^Error: stopped at alembic/env.py:3.*env.py", line 3.*^Odd`),
		envPy("raises a BaseException", "class Odd(BaseException): pass\nraise Odd('as planned')\n", 1, `env.py", line 2.*Odd: as planned`),
		envPy("raises KeyboardInterrupt", "raise KeyboardInterrupt\n", 130, `interrupted`),
		envPy("raises BrokenPipeError", "raise BrokenPipeError('of a socket')\n", 1, `of a socket`),
		envPy("raises MemoryError", "bytes(10**18)\n", 1, `MemoryError`),
		envPy("raises a group", "raise ExceptionGroup('several', [ValueError('one'), TypeError('two')])\n", 1, `several`),
		envPy("raises from a ring", "a, b = ValueError('a'), ValueError('b')\na.__cause__, b.__cause__ = b, a\nraise a\n", 1, `ValueError: a`),
		envPy("exits 0", "import sys\nsys.exit(0)\n", 0, `env.py", line 2.*sys.exit`),
		envPy("exits 3", "import sys\nsys.exit(3)\n", 3, `env.py", line 2.*sys.exit\(3\)`),
		envPy("exits with a text", "import sys\nsys.exit('enough')\n", 1, `enough`),
		envPy("exits the process", "import os\nos._exit(7)\n", 7, ``),
		envPy("prints", "print('x' * 100_000)\n", 0, ``),
		envPy("prints a lone surrogate", "print('\\udcff')\n", 0, ``),
		envPy("forks", "import os\nif os.fork() == 0: os._exit(0)\nos.wait()\n", 0, ``),
		envPy("forks and goes on", "import os, sys\nif os.fork() == 0: sys.exit(0)\nassert os.wait()[1] == 0\n", 0, ``),
		envPy("forks and raises there", "import os\nif os.fork() == 0: raise ValueError('of the child')\nassert os.wait()[1] == 256\n", 0, `env.py", line 2.*of the child`),
		envPy("changes directory", "import os\nos.chdir(os.environ['TMPDIR'])\n", 0, ``), // as `alembic` ends: env.py looks for its alembic.ini before it reads it
		envPy("starts a thread", "import threading, time\nthreading.Thread(target=time.sleep, args=(0.5,)).start()\n", 0, ``),
		envPy("starts a daemon thread", "import threading, time\ndef f():\n    while True: time.sleep(0.001)\nthreading.Thread(target=f, daemon=True).start()\n", 0, ``),
		envPy("starts a busy daemon thread", "import threading\ndef f():\n    while True: pass\nthreading.Thread(target=f, daemon=True).start()\n", 0, ``),
		envPy("a thread raises", "import threading\nt = threading.Thread(target=lambda: 1/0)\nt.start(); t.join()\n", 0, `ZeroDivisionError`),
		envPy("atexit raises", "import atexit\natexit.register(lambda: 1/0)\n", 0, `ZeroDivisionError`),
		envPy("a finalizer raises", "class Odd:\n    def __del__(self): raise ValueError('as planned')\nOdd()\n", 0, `as planned`),
		envPy("replaces stdout", "import sys, io\nsys.stdout = io.StringIO()\n", 0, ``),
		envPy("stdout and stderr are None", "import sys\nsys.stdout = sys.stderr = None\n", 0, ``),
		envPy("stdout is not a file", "import sys\nsys.stdout = 3\n", 1, `last output was lost`),
		envPy("deletes stdout", "import sys\ndel sys.stdout, sys.stderr\n", 1, `.`),
		envPy("closes stdout", "import sys\nsys.stdout.close()\n", 0, ``),
		envPy("closes stderr", "import sys\nsys.stderr.close()\n", 1, `I/O operation on closed file`),
		envPy("closes descriptor 1", "import os\nos.close(1)\n", 0, ``),
		envPy("closes every descriptor", "import os\nos.closerange(3, 100)\n", 0, ``),
		envPy("deletes the environment", "import os\nos.environ.clear()\n", 0, ``),
		envPy("warns", "import warnings\nwarnings.warn('as planned')\n", 0, `as planned`),
		envPy("runs alembic within itself", "from alembic import command, context\nc = context.config\nif not c.attributes.get('again'):\n    c.attributes['again'] = True\n    command.upgrade(c, 'head')\n", 1, `.`),
		{name: "env.py/empty", files: map[string]string{"alembic/env.py": ""}, status: 0},
		{name: "env.py/never configures", files: map[string]string{"alembic/env.py": "from alembic import context\ncontext.run_migrations()\n"}, status: 1, message: `.`},
		{name: "env.py/models that are not there", files: map[string]string{"alembic/env.py": "from shop.models import Base\n"}, status: 1, message: `env.py", line 1.*No module named 'shop'`},
		{name: "env.py/metadata of a wrong type", run: "sed -i 's/^target_metadata = None/target_metadata = 3/' alembic/env.py; exec reflex db upgrade head", status: 1, message: `.`},
		sh("env.py/a directory", "rm alembic/env.py; mkdir alembic/env.py; exec reflex db upgrade head", 1, `env.py`),
	}
}

func badInterpreters() []badInput {
	// copy makes an environment of the good one's packages, at $PROJECT/env.
	const copy = `mkdir -p env/bin; cp -P $VENV/bin/python* env/bin; cp $VENV/pyvenv.cfg env; ln -s $VENV/lib env/lib; export VIRTUAL_ENV=$PROJECT/env; `
	const fake = `mkdir -p env/bin; export VIRTUAL_ENV=$PROJECT/env; `
	// A Python that uses the file $LIBPYTHON for its libpython.
	const libpython = `cp $FAKE/fakepython fake; export LIBPYTHON; `
	return []badInput{
		sh("python/no environment", `VIRTUAL_ENV=$PROJECT/nowhere exec reflex db heads`, 3, `VIRTUAL_ENV: .*nowhere/bin/python.*unset VIRTUAL_ENV`),
		sh("python/none on PATH", `reflex=$(command -v reflex); PATH=/nowhere; unset VIRTUAL_ENV; exec $reflex db heads`, 3, `no usable Python.*PATH`),
		sh("python/moved", copy+`mv env moved; VIRTUAL_ENV=moved exec reflex db heads`, 0, ``),
		sh("python/--python names nothing", `exec reflex --python nosuch db heads`, 3, `--python: .*nosuch`),
		sh("python/--python names a directory", `exec reflex --python alembic db heads`, 3, `--python: .*alembic/bin/python`),
		sh("python/--python names a text", `exec reflex --python alembic.ini db heads`, 3, `--python: .*alembic.ini`),
		sh("python/dangling link", copy+`rm env/bin/python; ln -s /nowhere/python env/bin/python; exec reflex db heads`, 3, `link to /nowhere/python, which is not there.*venv --clear`),
		sh("python/not executable", fake+`echo >env/bin/python; exec reflex db heads`, 3, `env/bin/python .*denied`),
		sh("python/a directory", fake+`mkdir env/bin/python; exec reflex db heads`, 3, `is a directory`),
		sh("python/another architecture", fake+`$FAKE/elf >env/bin/python; chmod +x env/bin/python; exec reflex db heads`, 3, `is not for this machine`),
		sh("python/cut file", fake+`head -c 5000 $(readlink -f $VENV/bin/python) >env/bin/python; chmod +x env/bin/python; exec reflex db heads`, 3, `env/bin/python`),
		sh("python/exits 1", fake+`ln -s /bin/false env/bin/python; exec reflex db heads`, 3, `exit status 1`),
		sh("python/prints noise", fake+`ln -s /bin/echo env/bin/python; exec reflex db heads`, 3, `does not answer like a Python`),
		sh("python/prints much noise", fake+`printf '#!/bin/sh\nhead -c 10000000 /dev/zero\n' >env/bin/python; chmod +x env/bin/python; exec reflex db heads`, 3, `does not answer like a Python`),
		sh("python/is killed", fake+`printf '#!/bin/sh\nkill -9 $$\n' >env/bin/python; chmod +x env/bin/python; exec reflex db heads`, 3, `killed`),
		sh("python/hangs", fake+`printf '#!/bin/sh\nsleep 60\n' >env/bin/python; chmod +x env/bin/python; exec reflex db heads`, 3, `no answer within`),
		sh("python/hangs with the pipe open", fake+`printf '#!/bin/sh\nsleep 60 &\n' >env/bin/python; chmod +x env/bin/python; exec reflex db heads`, 3, `env/bin/python`),
		sh("python/no pyvenv.cfg", copy+`rm env/pyvenv.cfg; exec reflex db heads`, 3, `pip install "alembic"`),
		sh("python/empty pyvenv.cfg", copy+`: >env/pyvenv.cfg; exec reflex db heads`, 0, ``),
		sh("python/binary pyvenv.cfg", copy+`head -c 1000 /bin/sh >env/pyvenv.cfg; exec reflex db heads`, 3, `venv --clear`),
		sh("python/pyvenv.cfg with another home", copy+`echo 'home = /nowhere' >env/pyvenv.cfg; exec reflex db heads`, 0, ``),
		sh("python/half deleted", copy+`rm env/lib; mkdir env/lib; exec reflex db heads`, 3, `pip install "alembic"`),
		sh("python/libpython is a text", libpython+`LIBPYTHON=$PROJECT/libpython3.13.so; echo >$LIBPYTHON; exec reflex --python ./fake db heads`, 3, `libpython3.13.so: .*`),
		sh("python/libpython of another architecture", libpython+`LIBPYTHON=$PROJECT/libpython3.13.so; $FAKE/elf >$LIBPYTHON; exec reflex --python ./fake db heads`, 3, `libpython3.13.so: .*`),
		sh("python/libpython is another library", libpython+`LIBPYTHON=$(ldd /bin/sh | grep -o '/[^ ]*libc.so[^ ]*'); exec reflex --python ./fake db heads`, 3, `.`),
		sh("alembic/too old", `VIRTUAL_ENV=$OLD exec reflex db heads`, 3, `Alembic 1.12.1 .*too old.*pip install "alembic>=1.16"`),
		sh("alembic/SQLAlchemy is missing", `mkdir site; ln -s $VENV/lib/python3*/site-packages/alembic site; unset VIRTUAL_ENV; PYTHONPATH=site exec reflex --python "$(readlink -f $VENV/bin/python)" db heads`, 3, `No module named 'sqlalchemy'.*pip install`),
		sh("alembic/broken", `mkdir -p site/alembic; echo 'raise RuntimeError("half an upload")' >site/alembic/__init__.py; PYTHONPATH=site exec reflex db heads`, 3, `RuntimeError: half an upload.*--force-reinstall`),
		sh("alembic/syntax error", `mkdir -p site/alembic; echo '(' >site/alembic/__init__.py; PYTHONPATH=site exec reflex db heads`, 3, `site/alembic/__init__.py.*SyntaxError.*--force-reinstall`),
		shadow("sqlalchemy.py", "", 0, ``),
		shadow("alembic.py", "", 0, ``),
		shadow("json.py", "", 0, ``),
		shadow("reflex_driver.py", "", 0, ``),
		shadow("sqlalchemy.py", "PYTHONPATH=.", 3, `.import sqlalchemy. finds .*sqlalchemy.py, which is not SQLAlchemy`),
		shadow("alembic.py", "PYTHONPATH=.", 3, `alembic.py, which is not Alembic`),
		shadow("json.py", "PYTHONPATH=.", 0, ``),
		shadow("signal.py", "PYTHONPATH=.", 3, `\bsignal\b.*^Next: look for a file on PYTHONPATH`),
		shadow("importlib.py", "PYTHONPATH=.", 3, `\bimportlib\b.*^Next: look for a file on PYTHONPATH`),
		shadow("encodings.py", "PYTHONPATH=.", 3, `encodings`),
		shadow("reflex_driver.py", "PYTHONPATH=.", 0, ``),
		shadow("sitecustomize.py", "PYTHONPATH=.", 0, ``),
		{name: "sitecustomize raises", files: map[string]string{"sitecustomize.py": "raise ValueError('as planned')\n"}, env: []string{"PYTHONPATH=."}, status: 0, message: `as planned`},
		{name: "sitecustomize exits", files: map[string]string{"sitecustomize.py": "raise SystemExit(0)\n"}, env: []string{"PYTHONPATH=."}, status: 3, message: `.`},
		variable("PYTHONHOME=/nowhere", 3, `variables: PYTHONHOME\.`),
		variable("PYTHONPATH=/nowhere:alembic.ini::", 0, ``),
		variable("PYTHONPATH=\xff", 0, ``),
		variable("PYTHONINSPECT=1", 0, ``),
		variable("PYTHONOPTIMIZE=2", 0, ``),
		variable("PYTHONWARNINGS=error", 0, ``),
		variable("PYTHONWARNINGS=nonsense", 0, ``),
		variable("PYTHONIOENCODING=nonsense", 3, `variables: PYTHONIOENCODING\.`),
		variable("PYTHONHASHSEED=nonsense", 3, `PYTHONHASHSEED`),
		variable("PYTHONMALLOC=nonsense", 3, `PYTHONMALLOC`),
		variable("PYTHONTRACEMALLOC=nonsense", 3, `PYTHONTRACEMALLOC`),
		variable("PYTHONDEVMODE=1", 0, ``),
		variable("PYTHONPLATLIBDIR=nowhere", 3, `variables: PYTHONPLATLIBDIR\.`),
		variable("PYTHON_GIL=0", 3, `GIL`),
	}
}

// shadow is a case of an empty file that has the name of a module.
func shadow(file, env string, status int, message string) badInput {
	name := "shadow/" + file
	var environment []string
	if env != "" {
		name += " and " + env
		environment = append(environment, env)
	}
	return badInput{name: name, files: map[string]string{file: ""}, env: environment, status: status, message: message}
}

// variable is a case of an environment variable.
func variable(assignment string, status int, message string) badInput {
	return badInput{name: "variable/" + assignment, env: []string{assignment}, status: status, message: message}
}

func badSurroundings() []badInput {
	return []badInput{
		sh("directory/removed", `mkdir d; cd d; rmdir ../d; exec reflex db heads`, 1, `.`),
		sh("directory/-C a file", `exec reflex -C alembic.ini db heads`, 2, `-C: .*alembic.ini`),
		sh("directory/-C nothing", `exec reflex -C '' db heads`, 0, ``),
		{name: "directory/unreadable", notRoot: true, run: "mkdir d; cd d; chmod 0 .; exec reflex db heads", status: 1, message: `.`},
		{name: "directory/read-only", notRoot: true, run: "chmod 555 . alembic alembic/versions; trap 'chmod -R u+w .' EXIT; reflex db revision -m x", status: 1, message: `denied`},
		sh("environment/none", `exec env -i REFLEX_DB_URL=$REFLEX_DB_URL $(command -v reflex) --python $VENV db upgrade head`, 0, ``),
		sh("environment/no HOME", `unset HOME XDG_CACHE_HOME; exec reflex db upgrade head`, 0, ``),
		sh("environment/HOME is a file", `unset XDG_CACHE_HOME; HOME=$PROJECT/alembic.ini exec reflex db upgrade head`, 0, ``),
		sh("environment/a cache of nonsense", `export XDG_CACHE_HOME=$PROJECT/cache; reflex db heads; for f in cache/*/*; do echo '{' >$f; done; exec reflex db upgrade head`, 0, ``),
		sh("environment/the cache is a file", `XDG_CACHE_HOME=$PROJECT/alembic.ini exec reflex db upgrade head`, 0, ``),
		sh("environment/TMPDIR is not there", `rm alembic.ini; TMPDIR=/nowhere exec reflex db upgrade head`, 0, ``),
		sh("environment/init without TMPDIR", `rm -r alembic*; TMPDIR=/nowhere exec reflex db init`, 0, ``),
		variable("LANG=nonsense", 0, ``),
		variable("LC_ALL=C", 0, ``),
		variable("TZ=nonsense", 0, ``),
		variable("ALEMBIC_CONFIG=nowhere.ini", 1, `ALEMBIC_CONFIG names nowhere.ini`),
		variable("REFLEX_DB_LOCK_URL=nonsense", 0, ``),
		sh("stream/stdin closed", `exec reflex db upgrade head <&-`, 0, ``),
		sh("stream/stdout closed", `exec reflex db history >&-`, 1, `NoneType`),
		sh("stream/stderr closed", `exec reflex db upgrade head 2>&-`, 0, ``),
		sh("stream/all closed", `exec reflex db upgrade head <&- >&- 2>&-`, 0, ``),
		sh("stream/all closed, and an error", `exec reflex db upgrade nosuch <&- >&- 2>&-`, 1, ``),
		sh("stream/stdout full", `exec reflex db history >/dev/full`, 1, `No space left`),
		sh("stream/stderr full", `exec reflex db upgrade head 2>/dev/full`, 0, ``),
		sh("stream/stdout is read-only", `exec reflex db history 1</dev/null`, 1, `.`),
		sh("stream/reader gone", `{ reflex db history; echo $? >status; } | true; exit $(cat status)`, 0, ``),
		sh("stream/reader gone from an upgrade", `echo 'print("x" * 1000000)' | cat - alembic/env.py >e; mv e alembic/env.py; { reflex db upgrade head; echo $? >status; } | true; exit $(cat status)`, 1, `BrokenPipeError`),
		sh("stream/stdin is a directory", `exec reflex db upgrade head <.`, 3, `<stdin> is a directory`),
		sh("limit/open files", `ulimit -n 16; exec reflex db upgrade head`, 0, ``),
		sh("limit/file size", `ulimit -f 1; exec reflex db upgrade head`, 1, `.`),
		sh("limit/stack", `ulimit -s 256; exec reflex db upgrade head`, 0, ``),
		sh("arguments/none", `exec reflex db`, 0, ``),
		sh("arguments/empty", `exec reflex db ''`, 2, `has no command`),
		sh("arguments/empty revision", `exec reflex db upgrade ''`, 1, `.`),
		sh("arguments/not UTF-8", `exec reflex db upgrade "$(printf '\377')"`, 1, `.`),
		sh("arguments/not UTF-8 as a command", `exec reflex db "$(printf '\377')"`, 2, `.`),
		sh("arguments/not UTF-8 as a message", `exec reflex db revision -m "$(printf '\377')"`, 1, `Template rendering failed`), // as with alembic
		sh("arguments/long", `exec reflex db upgrade $(head -c 100000 /dev/zero | tr '\0' x)`, 1, `.`),
		sh("arguments/many", `exec reflex db heads $(seq 100000)`, 2, `unrecognized arguments`),
		sh("arguments/many -x", `exec reflex db $(seq 10000 | sed 's/^/-x a=/') heads`, 0, ``),
		sh("arguments/-x odd", `exec reflex db -x = -x '' -x '==' upgrade head`, 0, ``),
		sh("arguments/-c without a value", `exec reflex db -c`, 2, `-c/--config needs a value`),
		sh("arguments/steps", `exec reflex db upgrade +999999999999999999999`, 1, `.`),
		sh("arguments/range in a ring", `exec reflex db history -r 0002:0001`, 1, `does not refer to ancestor`),
		sh("arguments/downgrade below nothing", `exec reflex db downgrade -- -1`, 1, `.`),
		sh("arguments/lock-timeout negative", `exec reflex db upgrade head --lock-timeout=-1`, 2, `is not a time`),
		sh("arguments/lock-timeout huge", `exec reflex db upgrade head --lock-timeout 99999999999999999999h`, 0, ``),
		sh("arguments/message with a newline", `exec reflex db revision -m "$(printf 'a\n"""\nb')"`, 1, `SyntaxError`),
		sh("arguments/models that are not a module", `rm -r alembic*; exec reflex db init --models 'a b'`, 2, `is not a module's name`),
		sh("arguments/models that are not there", `rm -r alembic*; exec reflex db init --models nosuch:Base`, 1, `No module named 'nosuch'`),
		sh("arguments/init twice", `exec reflex db init`, 1, `already exists`),
		sh("arguments/init in a file", `rm -r alembic*; touch alembic; exec reflex db init`, 1, `alembic`),
		sh("arguments/unknown template", `exec reflex db init -t nosuch other`, 1, `No such template`),
	}
}
