package embedpy

// A Python is an interpreter found on this machine, not yet loaded.
type Python struct {
	Executable  string // VENV/bin/python
	Version     string // "3.12.1"
	FullVersion string // sys.version
	Library     string // the libpython to load
	Prefix      string // sys.prefix: the virtual environment, or BasePrefix
	BasePrefix  string // the installation
	Source      string // the rule that found it: "REFLEX_PYTHON", ".venv", …
}
