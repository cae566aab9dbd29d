"""What the Go side defines in the interpreter: embedpy, and cmd/reflex/interrupts.go."""

interrupted_by: int
"""The signal that has ended what the program did; 0 for none."""

cancelled: bool
"""Whether it did so by cancelling the task of an event loop."""

class GoError(Exception):
    """A Go function returned an error."""

def interrupted(nothing: str, /) -> bytes: ...
def finish(nothing: str, /) -> bytes: ...
def abandon(nothing: str, /) -> bytes: ...
