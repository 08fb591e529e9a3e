"""The name that this host has in etcd. It is written down once: everything there is under it.

Until the first `calicoctl node` it is what the kernel says. Afterwards another hostname changes
nothing for what runs, because under the new name etcd knows none of this host's containers; only
`calicoctl node` asks which of the two is meant. The services see the same file.
"""

import os
import re
import socket
from pathlib import Path

from calico_ctl.errors import CalicoError, Conflict, InvalidValue

FILE = Path("/var/lib/calico/nodename")

_NAME = re.compile(r"[^\s/\x00-\x1f]{1,255}")
_EXPECTED = "a name that can be part of a key: no spaces, no `/`, not `.` or `..`"


def current() -> str:
    """Return the name that was written down, else the kernel's. Raises CalicoError."""
    return kept() or of_kernel()


def of_kernel() -> str:
    """Return the kernel's hostname; `$HOSTNAME` is not asked."""
    return socket.gethostname()


def kept() -> str | None:
    """Return the name that was written down; None: this host was no node yet.

    Raises CalicoError if there is something else in the file, or it cannot be read.
    """
    try:
        text = FILE.read_text(errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CalicoError(f"cannot read {FILE}: {error.strerror}") from error
    if not _is_name(text):
        raise CalicoError(
            f"{FILE} does not hold the name of this host",
            hint="write the name into it under which etcd knows this host, or remove it if none",
        )
    return text


def keep(name: str) -> None:
    """Write the name down, unless one is; all of it or nothing. Raises CalicoError."""
    if not _is_name(name):
        raise InvalidValue("hostname", name, _EXPECTED)
    if kept() is not None:
        return
    unfinished = FILE.with_name(f".{FILE.name}.{os.getpid()}")
    try:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w") as file:
            # Who is not root may ask for endpoints too, whatever the umask.
            os.fchmod(file.fileno(), 0o644)
            file.write(f"{name}\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(FILE)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise CalicoError(f"cannot write {FILE}: {error.strerror}") from error


def forget() -> None:
    """Be no node any more: the next start takes the kernel's name. Raises CalicoError."""
    try:
        FILE.unlink(missing_ok=True)
    except OSError as error:
        raise CalicoError(f"cannot remove {FILE}: {error.strerror}") from error


def require_unchanged() -> None:
    """Raise Conflict, with the ways out, if the hostname is not the name written down."""
    before, now = kept(), of_kernel()
    if before in {None, now}:
        return
    raise Conflict(
        f"the hostname is {now}, but etcd knows this host as {before} (it says so in {FILE})",
        hint=f"to stay {before}: `hostname {before}`; to become {now}: `calicoctl node stop"
        " --force`, then `calicoctl node`; if this machine was copied from"
        f" {before}: remove the file",
    )


def _is_name(text: str) -> bool:
    return bool(_NAME.fullmatch(text)) and text not in {".", ".."}
