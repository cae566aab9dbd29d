"""``python -m reflex_orm`` is the command ``reflex-db``."""

import sys

from reflex_driver import console

if __name__ == "__main__":
    sys.exit(console.main())
