#!/usr/bin/env python3
"""Hand the command line to calico_ctl; exit with what it returns."""

import os
import sys


def run() -> int:
    """Run it; an interrupt ends it quietly, also while it is still being loaded."""
    try:
        from calico_ctl.main import main

        return main(sys.argv[1:])
    except KeyboardInterrupt:
        return 130


def leave(code: int) -> None:
    """End the process, at once if nobody else is in it.

    To take the interpreter apart first, object by object, takes longer than many a command does.
    """
    threading = sys.modules.get("threading")
    if (threading is None or threading.active_count() == 1) and _has_said_all():
        os._exit(code)
    sys.exit(code)


def _has_said_all() -> bool:
    """Write what is not written yet; say whether that is possible."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):
        return False
    return True


if __name__ == "__main__":
    leave(run())
