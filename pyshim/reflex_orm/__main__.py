"""``python -m reflex_orm`` is the command ``reflex-db``, and so is ``python -m reflex_orm db``."""

import sys

from reflex_driver import console

if __name__ == "__main__":
    if sys.argv[1:2] == ["db"]:  # as it is written after the framework's `reflex`
        del sys.argv[1]
    sys.exit(console.main())
