#!/usr/bin/env python3
"""Hand the command line to calico_ctl; exit with what it returns."""

import sys


def run() -> int:
    """Run it; an interrupt ends it quietly, also while it is still being loaded."""
    try:
        from calico_ctl.main import main

        return main(sys.argv[1:])
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(run())
