"""What reflex_orm raises. SQLAlchemy's own errors pass through untouched.

No message holds a password: a URL is shown with ``***`` in its place and
without its query, or is not shown at all.
"""


class Error(Exception):
    """The base of every exception in this package."""


class URLNotSetError(Error):
    """No URL was given and the variable that would name one is unset, empty or blank."""


class URLError(Error, ValueError):
    """The URL cannot be read, or names a dialect that is not installed."""


class WrongDriverError(Error):
    """A sync driver or connection where an async one is needed, or the other way round."""


class MissingDriverError(Error, ImportError):
    """The URL's driver is not installed. The message holds the pip command."""


class SettingError(Error, ValueError):
    """A ``SQLALCHEMY_*`` variable holds a value that cannot be used."""


class ConfigureError(Error, RuntimeError):
    """`configure` was given an unknown option, other options than before, or came too late."""


class EventLoopError(Error, RuntimeError):
    """An async engine was asked for where no event loop runs."""
