"""Pieces of a stream do not cost fresh pages each."""

import subprocess
import sys

FAULTS = """
import resource
from calico_ctl.host import allocator
{prepare}
def pass_pieces(count):
    for _ in range(count):
        pieces = [bytes(256 * 1024) for _ in range(6)]
        del pieces
pass_pieces(10)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
pass_pieces(200)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(prepare: str) -> int:
    """How often the kernel had to find a page, in a process of its own."""
    program = FAULTS.format(prepare=prepare)
    return int(
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout
    )


def test_pieces_are_kept_and_used_again():
    assert faults("") > 2000
    assert faults("allocator.keep_pieces()") < 200
