"""Reading what there is, for who looks for a fault: large files, whole folders, whatever state.

Only regular files are opened: a pipe in a folder would have us wait for ever.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from calico_ctl.errors import CalicoError, NotFound

_SETTINGS = Path("/proc/sys")


@dataclass(frozen=True, slots=True)
class Found:
    """A file below a folder: its path from there, bytes, and seconds of its last change."""

    name: str
    size: int
    changed: float


def end_of(path: Path, most: int) -> str:
    """Return a file's text, or of a larger one the last `most` bytes with a line that says so.

    Raises NotFound, or CalicoError if it cannot be read. What is not UTF-8 is shown as escapes.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise CalicoError(f"{path} is no regular file")
            left_out = max(found.st_size - most, 0)
            file.seek(left_out)
            text = file.read(most).decode(errors="backslashreplace")
    except FileNotFoundError as error:
        raise NotFound(f"there is no {path}") from error
    except OSError as error:
        raise CalicoError(f"cannot read {path}: {error.strerror}") from error
    return f"(the first {left_out} bytes are left out)\n{text}" if left_out else text


def below(folder: Path) -> list[Found]:
    """Return the regular files in a folder and those in it, the last changed first.

    Links are not followed. Raises NotFound if there is no such folder.
    """
    if not folder.is_dir():
        raise NotFound(f"there is no folder {folder}")
    found: list[Found] = []
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent) / name
            try:
                about = path.lstat()
            except OSError:
                # Rotated away meanwhile.
                continue
            if stat.S_ISREG(about.st_mode):
                relative = str(path.relative_to(folder))
                found.append(Found(relative, about.st_size, about.st_mtime))
    return sorted(found, key=lambda each: (-each.changed, each.name))


def settings(prefix: str) -> Iterator[tuple[str, str]]:
    """Yield the kernel's settings below one such as `net`, in order, as `sysctl` names them.

    Those that cannot be read are left out: some can only be written.
    """
    for path in sorted((_SETTINGS / prefix).rglob("*")):
        try:
            if path.is_file():
                value = path.read_text(errors="backslashreplace").strip()
                yield str(path.relative_to(_SETTINGS)).replace("/", "."), value
        except OSError:
            continue
