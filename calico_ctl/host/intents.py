"""What a process is in the middle of, on disk, so that somebody can take it back after a crash.

An intent is a small file that exists from before the first step of a change until it is complete
or taken back. Its maker holds a lock on it for as long as it lives; an intent that nobody holds is
a change that broke off (the process was killed, or etcd went away in the middle).
"""

import fcntl
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

DIRECTORY = Path("/var/lib/calico/intents")


@contextmanager
def declared(name: str, text: str, directory: Path | None = None) -> Iterator[Callable[[], None]]:
    """Keep an intent while the block runs; remove it if the block ends well, else leave it.

    The block gets a function that removes it before that: everything was taken back.
    """
    directory = directory or DIRECTORY
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / name
    # It gets its name only when it is locked and whole: nobody must take it for a broken-off one.
    unfinished = directory / f".{name}"
    while True:
        with unfinished.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file, unfinished):
                continue  # swept away before it was locked
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            unfinished.rename(path)
            yield partial(path.unlink, missing_ok=True)
            path.unlink(missing_ok=True)
            return


def abandoned(directory: Path | None = None) -> Generator[str, None, None]:
    """Yield the text of each intent that nobody holds, and remove it once the caller comes back.

    If the caller raises instead, the intent stays for the next time.
    """
    directory = directory or DIRECTORY
    if not directory.is_dir():
        return
    for path in sorted(directory.glob(".*")):
        with _grasped(path):
            pass  # its maker was killed before it had done anything
    for path in sorted(directory.glob("[!.]*")):
        with _grasped(path) as file:
            if file is not None:
                yield file.read()


@contextmanager
def _grasped(path: Path) -> Iterator[IO[str] | None]:
    """Lend a file that nobody holds, and remove it if the block ends well; None for any other."""
    try:
        file = path.open("r+")
    except FileNotFoundError:
        yield None
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        if not _is_at(file, path):
            # Its maker came to a good end between our opening it and our locking it.
            yield None
            return
        yield file
        path.unlink(missing_ok=True)


def _is_at(file: IO[str], path: Path) -> bool:
    """Say whether a file still has the name by which it was opened."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
