"""An error of Alembic's own kind that knows the next step."""

from __future__ import annotations

from alembic.util import CommandError


class AdvisedError(CommandError):
    """The message says what is wrong; `hint` is the next step, or empty."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
