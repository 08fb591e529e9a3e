"""Copies of small files for a container: whole sets of them, each in a directory of its own.

A set is never changed: another one gets another directory, so that a container that runs keeps
what it was started with, and one that is to see something else has to be made anew. Their names
are random and say nothing about the contents, which may be secret.
"""

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from calico_ctl.errors import CalicoError


def keep(root: str, contents: Mapping[str, bytes]) -> str:
    """Return a directory below `root` with exactly these files, which only root may read.

    The one that is there already, if there is one. Raises CalicoError.
    """
    try:
        for present in _sets(root):
            if _holds(present, contents):
                return str(present)
        return _made(root, contents)
    except OSError as error:
        raise CalicoError(f"cannot keep files in {root}: {error.strerror}") from error


def drop_others(root: str, kept: str | None) -> None:
    """Remove all sets below `root` but one, or all, then `root` too. Raises CalicoError."""
    try:
        for present in _sets(root):
            if str(present) != kept:
                shutil.rmtree(present)
        if kept is None and Path(root).is_dir():
            Path(root).rmdir()
    except OSError as error:
        raise CalicoError(f"cannot remove {error.filename or root}: {error.strerror}") from error


def _sets(root: str) -> list[Path]:
    return sorted(Path(root).iterdir()) if Path(root).is_dir() else []


def _holds(directory: Path, contents: Mapping[str, bytes]) -> bool:
    if not directory.is_dir() or {each.name for each in directory.iterdir()} != set(contents):
        return False
    return all((directory / name).read_bytes() == each for name, each in contents.items())


def _made(root: str, contents: Mapping[str, bytes]) -> str:
    Path(root).mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = Path(root) / secrets.token_hex(8)
    directory.mkdir(mode=0o700)
    for name, content in contents.items():
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(directory / name, flags, 0o600), "wb") as file:
            file.write(content)
    return str(directory)
