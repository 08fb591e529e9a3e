"""A network namespace to try things in, which is gone afterwards whatever becomes of us.

A thread leaves for it and never comes back. The kernel takes the namespace apart, with all that was
made in it, when that thread and the programs that it ran have ended.
"""

import ctypes
import errno
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from calico_ctl.errors import CalicoError

_T = TypeVar("_T")

_CLONE_NEWNET = 0x40000000

_HINTS = {
    errno.EPERM: "run it as root on the host itself: in a container root has not all capabilities",
    errno.ENOSPC: "allow more of them: the setting user.max_net_namespaces in /etc/sysctl.d",
}


def inside(act: Callable[[], _T]) -> _T:
    """Run a function in a fresh network namespace; return what it returns, raise what it raises.

    Programs that it runs are in there too, and /proc/sys/net is the namespace's. Raises CalicoError
    if none can be made.
    """
    results: list[_T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            _leave()
            results.append(act())
        except BaseException as error:  # noqa: BLE001 - it is raised where the function was given
            errors.append(error)

    thread = threading.Thread(target=work, name="throwaway", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _leave() -> None:
    # os.unshare exists since Python 3.12 only
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        hint = _HINTS.get(number, "use a kernel with CONFIG_NET_NS")
        raise CalicoError(f"cannot make a network namespace: {os.strerror(number)}", hint)
