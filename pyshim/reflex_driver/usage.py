"""What was asked for cannot be, whatever the database holds: exit 2."""


class UsageError(Exception):
    """The command line asks for something that does not go together; `hint` is the next step."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
