"""Files of variables: those that --env-file or REFLEX_ENV_FILE names, and no others.

The variable and its rules are the framework's: several files are separated as in PATH, the
first one that sets a variable counts, and it counts before the process's own. A file of
the variable's that is not there is passed over.
"""

from __future__ import annotations

import os
from importlib import import_module

from . import exits, secrets
from .exits import Outcome

VARIABLE = "REFLEX_ENV_FILE"


def load(named: str) -> Outcome | None:
    """Read the files into os.environ; the answer is why that can't be.

    `named` is --env-file, which goes before the variable; its files must be there.
    """
    files = [file.strip() for file in (named or os.environ.get(VARIABLE, "")).split(os.pathsep)]
    for file in reversed(list(filter(None, files))):
        try:
            with open(file, encoding="utf-8") as opened:
                dotenv = import_module("dotenv")
                dotenv.load_dotenv(stream=opened, override=True)
        except ImportError as error:
            from . import installing

            message = f"A file of variables needs the package python-dotenv: {error}"
            return Outcome(exits.ENVIRONMENT, message, installing.command("python-dotenv"))
        except (OSError, UnicodeDecodeError) as error:
            if isinstance(error, FileNotFoundError) and not named:
                continue
            reason = exits.reason(error) if isinstance(error, OSError) else f"{file} is not UTF-8"
            return Outcome(exits.USAGE, f"{'--env-file' if named else VARIABLE}: {reason}")
        secrets.learn_environment()
    return None
