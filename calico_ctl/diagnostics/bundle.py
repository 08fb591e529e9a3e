"""From what was collected to one compressed archive with no secret in it, and a list of it."""

import gzip
import io
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from calico_ctl.diagnostics import redact
from calico_ctl.diagnostics.collector import Collected

CONTENTS = "contents"


@dataclass(frozen=True, slots=True)
class Item:
    """A file of a bundle: its name, its bytes, and why there is nothing of it, if so."""

    name: str
    size: int
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle, ready to be written, and what is in it in the order of the list."""

    name: str
    content: bytes
    items: Sequence[Item]


def name(hostname: str, now: datetime, mark: str) -> str:
    """Return the name of a bundle; `mark` tells two of the same second apart."""
    # A hostname may be anything but is a part of a path and of an address here.
    host = re.sub(r"[^A-Za-z0-9._-]", "_", hostname)
    return f"diags-{host}-{now:%Y%m%d-%H%M%S}-{mark}"


def pack(called: str, collected: Iterable[Collected], secrets: Iterable[str]) -> Bundle:
    """Put everything into an archive, in a folder of the bundle's name.

    Secrets that are known, or that any collector saw, are taken out of every file.
    """
    found = list(collected)
    known = set(secrets).union(*(each.evidence.secrets for each in found))
    files = {path: redact.text(text, known).encode() for path, text in _files(found)}
    failures = {
        path: redact.text(each.failure, known)
        for each in found
        if each.failure
        for path in each.evidence.files
    }
    items = [Item(path, len(text), failures.get(path, "")) for path, text in files.items()]
    lines = "".join(f"{line}\n" for line in listed(items))
    return Bundle(called, _archive(called, {CONTENTS: lines.encode()} | files), items)


def listed(items: Sequence[Item]) -> list[str]:
    """Return the list for people: each file with its size, or with why there is nothing of it."""
    width = max((len(each.name) for each in items), default=0)
    return [
        f"{each.name:<{width}}  "
        + (f"not collected: {each.failure}" if each.failure else size(each.size))
        for each in items
    ]


def size(count: int) -> str:
    """Return a number of bytes as people say it."""
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.0f} KiB" if count < 1 << 20 else f"{count / (1 << 20):.1f} MiB"


def _files(collected: Iterable[Collected]) -> Iterator[tuple[str, str]]:
    for each in collected:
        yield from each.evidence.files.items()


def _archive(folder: str, files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=6) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for path, content in files.items():
            entry = tarfile.TarInfo(f"{folder}/{path}")
            entry.size, entry.mode = len(content), 0o600
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
