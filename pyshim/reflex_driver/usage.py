"""What was asked for cannot be, whatever the database holds: exit 2."""


class UsageError(Exception):
    """The command line asks for something that does not go together."""
