"""Locks on files, so that of all processes of this host only one handles a thing at a time.

The command on the host and the services inside calico-node see the same directory. The kernel
takes a lock back when its holder ends, however that happens: a crash leaves none behind.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DIRECTORY = Path("/var/lib/calico/locks")


@contextmanager
def held(name: str, directory: Path | None = None) -> Iterator[None]:
    """Hold the lock of that name while the block runs; waits for whoever has it.

    Not reentrant: a thread that asks twice waits for itself.
    """
    directory = directory or DIRECTORY
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A name may have more characters than a file's name may.
    path = directory / hashlib.sha256(name.encode()).hexdigest()
    while True:
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Who had it before us has removed the file: somebody may hold its successor.
            if os.fstat(file.fileno()).st_nlink == 0:
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return
