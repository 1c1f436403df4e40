"""The one kind of error that a user can mend: a single clear line."""


class UserError(Exception):
    """Bad input, found before any work starts: what, where, what is allowed, what to do.

    The command line prints the message as one line and leaves with exit status 2.
    """


class DataMissing(UserError):
    """The files of data set ``name`` are not at hand; the line says how to get them."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


class Diverged(RuntimeError):
    """A loss or a score is no longer a finite number."""
