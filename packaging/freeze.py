"""What PyInstaller makes of calicoctl: run by build_binary.sh, in the top of the checkout.

One analysis, two forms: `dist/calicoctl` is one file that unpacks itself into the temporary
directory each time it is run; `dist/directory/` is unpacked already and starts sooner.
"""

from pathlib import Path

from PyInstaller.building.api import COLLECT, EXE, PYZ
from PyInstaller.building.build_main import Analysis
from PyInstaller.utils.hooks import collect_submodules

CHECKOUT = Path.cwd()
CONTEXT = CHECKOUT / "build" / "context.tar.gz"
"""What the node image is built from, as one file: hundreds would be unpacked each time."""

UNNEEDED = [
    # never asked for by a command on a host
    "_curses", "_sqlite3", "_tkinter", "curses", "dbm", "ensurepip", "idlelib", "lib2to3",
    "multiprocessing", "pydoc", "pydoc_data", "readline", "sqlite3", "tkinter", "turtledemo",
    "unittest", "venv", "xmlrpc",
    # what docker-py and requests would like to have, and do without
    "paramiko", "chardet", "brotli", "zstandard", "simplejson", "socks", "OpenSSL", "pkg_resources",
    "setuptools", "pip", "_distutils_hack", "win32api", "pywin32",
]  # fmt: skip

_NO_ROOM = b"No room for %s in /tmp? Set TMPDIR elsewhere."
REWORDED = {
    b"Failed to load Python shared library '%s': %s": b"Is /tmp noexec? Set TMPDIR. '%s': %s",
    b"Failed to extract %s: failed to write data chunk!": _NO_ROOM,
    b"Failed to extract %s: failed to open target file!": _NO_ROOM,
    b"Could not create temporary directory!": b"No room in /tmp? Set TMPDIR elsewhere",
}
"""The starter's messages for a temporary directory that cannot be used: each says what to try, and
is no longer than what it replaces."""


def reworded(program: bytes) -> bytes:
    """Return the program with our words for its start; raise SystemExit if it has others."""
    for theirs, ours in REWORDED.items():
        if program.count(theirs) != 1 or len(ours) > len(theirs):
            raise SystemExit(f"freeze: PyInstaller's starter does not say {theirs!r} once")
        end = b"\n" if theirs + b"\n" in program else b""
        program = program.replace(theirs + end, (ours + end).ljust(len(theirs + end), b"\0"))
    return program


def main() -> None:
    """Write both forms."""
    analysis = Analysis(
        [str(CHECKOUT / "calicoctl.py")],
        pathex=[str(CHECKOUT)],
        datas=[(str(CONTEXT), ".")],
        hiddenimports=collect_submodules("calico_ctl"),
        runtime_hooks=[str(CHECKOUT / "packaging" / "one_file.py")],
        excludes=UNNEEDED,
    )
    # PyInstaller's own scripts load `inspect` and more at every start, for what nobody asks here.
    scripts = [each for each in analysis.scripts if not each[0].startswith("pyi_rth_")]
    # The starter needs the system's libz before it unpacks ours, and would look for it there again:
    # in a temporary directory that is noexec, the loader would fail before we can say why.
    binaries = [each for each in analysis.binaries if each[0] != "libz.so.1"]
    pyz = PYZ(analysis.pure)
    # Not compressed: unpacking would take longer than all that a short command does.
    plain = dict.fromkeys(["BINARY", "EXTENSION", "DATA", "PYZ", "PYMODULE", "PYSOURCE"], False)
    EXE(
        pyz,
        scripts,
        binaries,
        analysis.datas,
        name="calicoctl",
        strip=True,
        cdict=plain,
    )
    file = CHECKOUT / "dist" / "calicoctl"
    file.write_bytes(reworded(file.read_bytes()))
    starter = EXE(
        pyz,
        scripts,
        name="calicoctl",
        exclude_binaries=True,
        strip=True,
    )
    COLLECT(starter, binaries, analysis.datas, name="directory", strip=True)


main()
