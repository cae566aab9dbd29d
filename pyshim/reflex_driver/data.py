"""The files of this package that are no modules."""

from __future__ import annotations

import os
from typing import Any


def text(name: str) -> str:
    """A file of this package, by its path below it; raises FileNotFoundError.

    What pkgutil.get_data does, whose import takes longer than all the rest.
    """
    loader: Any = __spec__.loader
    content: bytes = loader.get_data(os.path.join(os.path.dirname(__file__), name))
    return content.decode()
