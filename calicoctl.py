#!/usr/bin/env python3
"""Hand the command line to calico_ctl; exit with what it returns."""

import sys

from calico_ctl.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
