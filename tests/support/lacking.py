"""Run a program as on a kernel that was built without netfilter, which nftables and conntrack need.

    python lacking.py PROGRAM [ARGUMENT ...]

There is no such kernel to boot here, so system calls are filtered (seccomp): whoever asks for a
netfilter socket is told what that kernel says. The filter goes on to all that the program runs.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

_SOCKET = {"x86_64": 41, "aarch64": 198}
_PR_SET_SECCOMP, _FILTER = 22, 2
_LOAD, _JUMP_IF, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_NUMBER, _DOMAIN, _PROTOCOL = 0, 16, 32
"""Where the number of the call and two of its arguments are in what a filter looks at."""

_AF_NETLINK, _NETLINK_NETFILTER = 16, 12


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]


def _filter() -> bytes:
    wanted = (
        (_NUMBER, _SOCKET[platform.machine()]),
        (_DOMAIN, _AF_NETLINK),
        (_PROTOCOL, _NETLINK_NETFILTER),
    )
    code = []
    for at, (offset, value) in enumerate(wanted):
        # If it is another one, go to the last instruction.
        other = 2 * (len(wanted) - at - 1) + 1
        code += [(_LOAD, 0, 0, offset), (_JUMP_IF, 0, other, value)]
    code += [(_RETURN, 0, 0, _FAIL | errno.EPROTONOSUPPORT), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *each) for each in code)


def main() -> None:
    """Forbid it to this process, and become the program."""
    code = _filter()
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no filter of system calls")
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
