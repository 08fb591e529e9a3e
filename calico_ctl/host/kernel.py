"""Kernel settings under /proc/sys."""

import errno
from pathlib import Path

from calico_ctl.errors import CalicoError

_ROOT = Path("/proc/sys")
_GONE = {errno.ENOENT, errno.ENODEV, errno.EINVAL}


def read_setting(name: str) -> str | None:
    """Return a setting such as `net/ipv4/ip_forward`, or None if this kernel has it not."""
    try:
        return (_ROOT / name).read_text().strip()
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise CalicoError(f"cannot read /proc/sys/{name}: {error.strerror}") from error


def write_setting(name: str, value: str) -> bool:
    """Write a setting unless it has that value; return False if the kernel has no such setting.

    An interface's settings vanish with the interface at any moment: that is the caller's to judge.
    """
    current = read_setting(name)
    if current is None:
        return False
    if current == value:
        return True
    try:
        (_ROOT / name).write_text(value)
    except OSError as error:
        if error.errno in _GONE:
            return False
        raise CalicoError(
            f"cannot write {value} to /proc/sys/{name}: {error.strerror}",
            hint="run as root, with /proc/sys writable",
        ) from error
    return True
