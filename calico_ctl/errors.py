"""Everything that can go wrong, and the exit code it leads to.

Raised as deep as the fact is known, with the library's own error chained as the cause; turned into
a message and an exit code in `main`, nowhere else. A message says what failed and on which thing,
in lower case and without a full stop; `hint` says what to try.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1
    NEEDS_ROOT = 2
    INTERRUPTED = 130


class CalicoError(Exception):
    """The root of the family: a message for a person, a hint, an exit code."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep `message` (what failed, on what) and `hint` (what to try; may be empty)."""
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(CalicoError):
    """The words on the command line do not form a command; `message` holds the usage text."""


class InvalidValue(CalicoError):
    """A value that the user or the datastore gave is not of its form."""

    def __init__(self, what: str, value: object, expected: str) -> None:
        """Name the thing, show the value, say what is accepted."""
        super().__init__(f"invalid {what} {shorten(value)}: expected {expected}")
        self.what = what
        self.value = value
        self.expected = expected


class NotFound(CalicoError):
    """The named thing does not exist."""


class AlreadyExists(CalicoError):
    """The thing to be made is there already."""


class Conflict(CalicoError):
    """Somebody else changed the thing meanwhile, or it is in use."""


class NoSuchPool(CalicoError):
    """An address or CIDR lies in no configured pool."""


class PoolExhausted(CalicoError):
    """No free address is left in the pools that were asked."""


class NoGateway(CalicoError):
    """This host has no address of a family, so its workloads can have none either."""


class DatastoreUnavailable(CalicoError):
    """Etcd does not answer, or does not answer in time."""

    def __init__(self, address: str, reason: str) -> None:
        """Name the address that was tried and why it failed."""
        super().__init__(
            f"cannot reach etcd at {address} ({reason})",
            hint="start etcd there, or set ETCD_AUTHORITY=<host>:<port>",
        )


class DatastoreError(CalicoError):
    """Etcd answered, but with something that is not a usable answer."""


class HistoryLost(CalicoError):
    """A watch asked for changes older than etcd remembers; read everything again."""


class DockerUnavailable(CalicoError):
    """The Docker Engine cannot be reached."""


class DockerError(CalicoError):
    """The Docker Engine refused a request."""


class CommandFailed(CalicoError):
    """A program that we ran failed; the message holds a command line that can be pasted."""


class DeadlineExceeded(CalicoError):
    """Something that should have happened did not happen in time."""


class PrivilegeRequired(CalicoError):
    """The command needs root."""

    exit_code = ExitCode.NEEDS_ROOT


def shorten(value: object, limit: int = 80) -> str:
    """Quote `value` for a message, cut in the middle if longer than `limit` characters."""
    try:
        text = repr(value) if isinstance(value, str) else str(value)
    except RecursionError:
        text = f"({type(value).__name__}, nested too deeply)"
    if len(text) <= limit:
        return text
    half = (limit - 3) // 2
    return f"{text[:half]}...{text[-half:]}"
