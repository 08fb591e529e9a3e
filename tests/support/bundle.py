"""What `calicoctl diags` collected, read back."""

import tarfile
from pathlib import Path


def contents(file: Path) -> dict[str, str]:
    """Return path in the bundle → text, without the folder that all are in."""
    with tarfile.open(file) as archive:
        found = {}
        for entry in archive:
            content = archive.extractfile(entry)
            assert content is not None
            found[entry.name.partition("/")[2]] = content.read().decode()
        return found
