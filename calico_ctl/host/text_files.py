"""Files that people write and name on a command line: read whole, or refused with the reason."""

from pathlib import Path

from calico_ctl.errors import CalicoError, InvalidValue

LARGEST = 32 * 1024 * 1024
"""Bytes. Nothing that fits into etcd is near; a wrong file, or an endless one, is named in time."""


def read(path: str) -> str:
    """Return the text of a file, of a pipe too; raise CalicoError or InvalidValue."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if len(content) > LARGEST:
        raise too_large(path)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        shown = content[error.start : error.start + 20]
        raise InvalidValue(f"text in {path}", shown, "UTF-8") from error


def below(directory: str, suffixes: tuple[str, ...]) -> list[str]:
    """Return the paths of a directory's files with such names, hidden ones not; sorted by name."""
    try:
        found = [path for path in Path(directory).iterdir() if path.is_file()]
    except OSError as error:
        raise _unreadable(directory, error) from error
    return sorted(
        str(path)
        for path in found
        if path.name.lower().endswith(suffixes) and not path.name.startswith(".")
    )


def is_directory(path: str) -> bool:
    """Say whether there is a directory of that name."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def too_large(path: str) -> CalicoError:
    """Return the error for a file of more bytes than there may be."""
    return CalicoError(f"{path} is larger than {LARGEST // 1024 // 1024} MiB")


def _unreadable(path: str, error: OSError | ValueError) -> CalicoError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return CalicoError(f"cannot read {path}: {reason}")
