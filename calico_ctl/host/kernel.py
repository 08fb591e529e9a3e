"""Kernel settings under /proc/sys.

Through `os.open`: an agent that starts writes thousands of them, and `Path.read_text` takes five
times as long.
"""

import errno
import os

from calico_ctl.errors import CalicoError

_ROOT = "/proc/sys"
_GONE = {errno.ENOENT, errno.ENODEV, errno.EINVAL}
_LONGEST = 4096
"""Bytes: the kernel shows no setting in more than a page."""


def read_setting(name: str) -> str | None:
    """Return a setting such as `net/ipv4/ip_forward`, or None if this kernel has it not."""
    try:
        setting = os.open(f"{_ROOT}/{name}", os.O_RDONLY)
        try:
            return os.read(setting, _LONGEST).decode().strip()
        finally:
            os.close(setting)
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
        setting = os.open(f"{_ROOT}/{name}", os.O_WRONLY | os.O_TRUNC)
        try:
            os.write(setting, value.encode())
        finally:
            os.close(setting)
    except OSError as error:
        if error.errno in _GONE:
            return False
        raise CalicoError(
            f"cannot write {value} to /proc/sys/{name}: {error.strerror}",
            hint="run as root, with /proc/sys writable",
        ) from error
    return True
