"""A container's /etc/hosts, where the engine keeps it on this host."""

from collections.abc import Sequence
from pathlib import Path

from calico_ctl.errors import CalicoError

# Inside calico-node this is the host's own root directory.
ROOT = "/proc/1/root"


def add(path: str, lines: Sequence[str], root: str | None = None) -> None:
    """Append the lines that are not there; the file stays the same one, it is mounted elsewhere.

    The engine makes the file anew at each start of the container. No file: nothing to do.
    """
    file = Path(f"{ROOT if root is None else root}{path}")
    try:
        present = file.read_text(errors="replace")
        missing = [line for line in lines if line not in present.splitlines()]
        if missing:
            ended = "" if present.endswith("\n") or not present else "\n"
            with file.open("a") as opened:
                opened.write(ended + "".join(f"{line}\n" for line in missing))
    except FileNotFoundError:
        return
    except OSError as error:
        raise CalicoError(f"cannot write {path}: {error.strerror}") from error
