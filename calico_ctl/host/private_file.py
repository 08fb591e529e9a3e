"""A new file that only its owner may read, in the first folder that takes it; else in memory."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from calico_ctl.errors import CalicoError


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a content is. `descriptor` is open for reading, also if there is no `path`: in memory.

    `refused` says of each folder that was tried before why it did not take it.
    """

    descriptor: int
    size: int
    path: Path | None
    refused: Sequence[str] = ()


def keep(name: str, content: bytes, folders: Sequence[Path]) -> Kept:
    """Write `content` under `name`, which nobody has in that folder yet, or nowhere on disk.

    A folder that does not take all of it has nothing of it afterwards. Raises CalicoError if not
    even memory is left.
    """
    refused: list[str] = []
    for folder in folders:
        try:
            return Kept(_written(folder / name, content), len(content), folder / name, refused)
        except OSError as error:
            refused.append(f"cannot write to {folder}: {error.strerror}")
    try:
        descriptor = os.memfd_create(name)
        _write(descriptor, content)
    except OSError as error:
        raise CalicoError(f"cannot keep {name} anywhere: {error.strerror}") from error
    return Kept(descriptor, len(content), None, refused)


def _written(path: Path, content: bytes) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        _write(descriptor, content)
        # Some file systems find out only now that they are full.
        os.fsync(descriptor)
    except BaseException:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    return descriptor


def _write(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
