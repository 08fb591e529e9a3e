"""A service may have as many sockets open as it says that it serves."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
from calico_ctl.host import open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))
open_files.allow({count})
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("count", "limits"), [(100, "100 128"), (1000, "128 128"), (10, "64 128")])
def test_as_many_are_allowed_as_can_be_and_never_fewer(count, limits):
    argv = [sys.executable, "-c", PROGRAM.format(count=count)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == limits
