"""Small files of this machine."""

import os
from pathlib import Path

from calico_ctl.errors import CalicoError
from calico_ctl.host.text_files import LARGEST, too_large


def exists(path: str) -> bool:
    """Say whether there is a file of any kind. Raises CalicoError for what cannot be looked at."""
    try:
        return Path(path).exists()
    except OSError as error:
        raise CalicoError(f"cannot look at {path}: {error.strerror}") from error


def read(path: str) -> str | None:
    """Return a file's text, or None if there is no such file."""
    try:
        with Path(path).open() as file:
            text = file.read(LARGEST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CalicoError(f"cannot read {path}: {error.strerror}") from error
    if len(text) > LARGEST:
        raise too_large(path)
    return text


def write_if_changed(path: str, text: str, mode: int = 0o644) -> bool:
    """Write a file as a whole, or not at all; say whether it had to be written.

    A reader sees the old text or the new one, never a part: it is renamed into place.
    """
    if read(path) == text:
        return False
    fresh = f"{path}.new"
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
            file.write(text)
        Path(fresh).replace(path)
    except OSError as error:
        raise CalicoError(f"cannot write {path}: {error.strerror}") from error
    return True
