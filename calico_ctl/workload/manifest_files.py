"""From the words after `-f` to what the files there state, as one whole."""

from collections.abc import Callable, Sequence

from calico_ctl.errors import NotFound
from calico_ctl.host import text_files
from calico_ctl.model import manifest, manifest_text
from calico_ctl.model.manifest import Stated

STDIN = "-"


def read(paths: Sequence[str], read_stdin: Callable[[], str]) -> list[Stated]:
    """Return what files, directories and stdin (`-`) state, in their order.

    Raises CalicoError for a file that cannot be read, InvalidValue for what is wrong in one, and
    Conflict if a thing is stated twice or two pools overlap.
    """
    stated: list[Stated] = []
    for path in paths:
        if path == STDIN:
            stated += manifest.read(read_stdin(), "stdin")
            continue
        for file in _files(path):
            stated += manifest.read(text_files.read(file), file)
    manifest.require_consistent(stated)
    return stated


def _files(path: str) -> list[str]:
    if not text_files.is_directory(path):
        return [path]
    found = text_files.below(path, manifest_text.SUFFIXES)
    if not found:
        raise NotFound(f"directory {path} has no file *{', *'.join(manifest_text.SUFFIXES)}")
    return found
