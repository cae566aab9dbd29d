package tests

// An otherAnswer is that of a bad input in another form of the command.
type otherAnswer struct {
	skip    string // why there is nothing to ask
	status  int
	message string
}

// otherAnswers are by the form and the bad input. In both forms the process is Python
// itself, and ends as the script alembic. In the form console, nothing asks an
// interpreter before it is used: the script is run by one, and becomes another.
var otherAnswers = map[string]map[string]otherAnswer{
	become: {
		"env.py/stdout is not a file": {status: 120, message: `no attribute 'flush'`}, // as with alembic
		"variable/PYTHONINSPECT=1":    {skip: "Python shows its prompt, as after the script alembic"},
		"limit/file size":             {status: 3, message: `can't become it: the limit of a file's size`},
	},
	console: {
		"env.py/stdout is not a file": {status: 120, message: `no attribute 'flush'`}, // as with alembic
		"variable/PYTHONINSPECT=1":    {skip: "Python shows its prompt, as after the script alembic"},

		"python/no environment":                    {status: 3, message: `no usable Python: VIRTUAL_ENV: .*nowhere/bin/python is not there`},
		"python/none on PATH":                      {status: 3, message: `Alembic can't be imported by .*-m pip install "alembic"`}, // that of the script itself
		"python/dangling link":                     {status: 3, message: `no usable Python: VIRTUAL_ENV: .*env/bin/python is not there`},
		"python/not executable":                    {status: 3, message: `no usable Python: VIRTUAL_ENV: .*env/bin/python .*may not be run`},
		"python/a directory":                       {status: 3, message: `no usable Python: VIRTUAL_ENV: .*env/bin/python.*denied`},
		"python/another architecture":              {status: 3, message: `no usable Python: VIRTUAL_ENV: .*env/bin/python.*Exec format error`},
		"python/cut file":                          {status: 3, message: `no usable Python: VIRTUAL_ENV: .*env/bin/python`},
		"python/exits 1":                           {skip: itself},
		"python/prints noise":                      {skip: itself},
		"python/prints much noise":                 {skip: itself},
		"python/is killed":                         {skip: itself},
		"python/hangs":                             {skip: itself},
		"python/hangs with the pipe open":          {skip: itself},
		"python/--python names a directory":        {status: 3, message: `no usable Python: --python: .*alembic/bin/python is not there`},
		"python/libpython is a text":               {skip: "there is no libpython to load"},
		"python/libpython of another architecture": {skip: "there is no libpython to load"},
		"python/libpython is another library":      {skip: "there is no libpython to load"},
		"shadow/importlib.py and PYTHONPATH=.":     {skip: "the script's own imports meet it, as those of the script alembic"},
	},
}

const itself = "the process becomes this program, which speaks for itself"
