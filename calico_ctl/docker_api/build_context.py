"""What the node image is built from: the sources as a tar file, wherever the tool came from.

A checkout has them as files; the frozen program and the Python package carry them as one file,
which `packed` makes when these are built. Nothing but the standard library is imported here.
"""

import gzip
import io
import sys
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from calico_ctl.errors import CalicoError

PACKED = "context.tar.gz"

_PARTS = ("calico_ctl", "calico_node", "calicoctl.py", "requirements.txt", "LICENSE")
_HOST_CA = "calico_node/host-ca.crt"
_NOT_SOURCES = {".crt", ".gz", ".pyc"}


def root() -> Path:
    """Return where the sources or the packed file are: unpacked by PyInstaller, or with us."""
    unpacked = getattr(sys, "_MEIPASS", None)
    if unpacked:
        return Path(unpacked)
    package = Path(__file__).parents[1]
    return package if (package / PACKED).is_file() else package.parent


def tar(place: Path, ca_bundle: str) -> bytes:
    """Return the build context as a tar file; equal files give equal bytes.

    `ca_bundle` is what the build has to trust, perhaps nothing. Raises CalicoError if a part is
    missing or the packed file is damaged.
    """
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as archive:
        for name, content, executable in _files(place):
            _add(archive, name, content, executable=executable)
        _add(archive, _HOST_CA, ca_bundle.encode(), executable=False)
    return memory.getvalue()


def packed(place: Path) -> bytes:
    """Return the sources as the one file that others carry; equal files give equal bytes."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as archive:
        for name, content, executable in _files(place):
            _add(archive, name, content, executable=executable)
    return gzip.compress(memory.getvalue(), mtime=0)


def _files(place: Path) -> Iterator[tuple[str, bytes, bool]]:
    """Yield name, content, and whether it is a program."""
    if (place / PACKED).is_file():
        yield from _unpacked(place / PACKED)
        return
    for part in _PARTS:
        for path in _sources(place / part):
            content = path.read_bytes()
            yield str(path.relative_to(place)), content, content.startswith(b"#!")


def _unpacked(file: Path) -> Iterator[tuple[str, bytes, bool]]:
    try:
        with tarfile.open(file) as archive:
            for member in archive:
                content = archive.extractfile(member)
                if content is not None:
                    yield member.name, content.read(), bool(member.mode & 0o100)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise CalicoError(
            f"cannot build the node image: {file} is damaged", hint="install calicoctl anew"
        ) from error


def _sources(part: Path) -> Iterator[Path]:
    """Yield the files of a part in a fixed order, without what Python or a build made."""
    if part.is_file():
        yield part
        return
    if not part.is_dir():
        raise CalicoError(f"cannot build the node image: {part} is missing")
    for path in sorted(part.rglob("*")):
        if path.is_file() and path.suffix not in _NOT_SOURCES:
            yield path


def _add(archive: tarfile.TarFile, name: str, content: bytes, *, executable: bool) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = 0o755 if executable else 0o644
    archive.addfile(entry, io.BytesIO(content))
