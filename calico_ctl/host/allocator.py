"""How the C library keeps memory that Python gives back."""

import ctypes

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

_KEPT_BYTES = 8 * 1024 * 1024
_PIECE_BYTES = 1024 * 1024


def keep_pieces() -> None:
    """Have pieces of up to 1 MiB taken from up to 8 MiB that are kept for them.

    For who passes streams on: by default each piece above 128 KiB is fresh pages of the kernel's,
    which then have to be faulted in one by one. That takes longer than all the rest there is to do
    with the piece. C libraries other than glibc have no such setting, and stay as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _PIECE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
