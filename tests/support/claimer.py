"""Processes that claim addresses and publish endpoints at the same time, and are killed at it.

Run as a program it says `kept <address>` for each endpoint that is left; every third is removed
again, as `container remove` does. Each of its lines is one claim of one process, which has been
killed by then as often as it says `killed`: at any moment, also with a request on its way. All are
forks of a program that has imported what they need, so that one more of them costs next to nothing.
"""

import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from netaddr import IPAddress

from calico_ctl.datastore import addresses, endpoints, etcd_api
from calico_ctl.datastore.etcd_requests import EtcdSettings
from calico_ctl.datastore.store import Change, Store
from calico_ctl.model import names
from calico_ctl.model.address import AnyAddress
from calico_ctl.model.endpoint import DOCKER, Endpoint, EndpointKey, State
from tests.support import command
from tests.support.paths import CHECKOUT

_UNDISTURBED = 40
"""How many claims the last of a line of processes makes, which is not killed."""


def run(port: int, api: str, processes: int, count: int, hosts: int) -> list[str]:
    """Have processes claim at the same time, each until `count` claims are done; return the lines.

    They are on hosts `h0`, `h1`, … and speak that API of the etcd on a port of loopback.
    """
    words = [str(each) for each in (port, api, processes, count, hosts)]
    argv = [*command.DIES_WITH_US, sys.executable, "-m", "tests.support.claimer", *words]
    environment = command.clean_environment({"PYTHONPATH": str(CHECKOUT)})
    return command.run(argv, show="", env=environment, timeout=800).out.splitlines()


def kept(lines: list[str]) -> list[IPAddress]:
    """Return the addresses of the endpoints that were left."""
    return [IPAddress(line.split()[1]) for line in lines if line.startswith("kept ")]


def _claim_in_turns(claim: Callable[[int], None], count: int, random: Random) -> None:
    """Have one process after the other claim until `count` are done; each but the last is killed.

    What the killed one was about to do is not among them: nobody knows whether it was done.
    """
    while count > 0:
        reading, writing = os.pipe()
        pid = _forked(partial(_into, reading, writing, partial(claim, count)))
        os.close(writing)
        limit = random.randrange(10, 25) if count > _UNDISTURBED else None
        count -= _follow(pid, reading, limit, random)


def _follow(pid: int, reading: int, limit: int | None, random: Random) -> int:
    """Pass on what a process says, kill it some time after that line; return how many it said."""
    seen, began = 0, time.monotonic()
    with os.fdopen(reading) as said:
        for line in said:
            sys.stdout.write(line)
            sys.stdout.flush()
            seen += 1
            if seen == limit:
                # while it makes the next claim or the one after that
                time.sleep(random.uniform(0, 2) * (time.monotonic() - began) / seen)
                os.kill(pid, signal.SIGKILL)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if ended == -signal.SIGKILL:
        print("killed", flush=True)
    else:
        assert ended == 0, f"a process ended with {ended}"
    return seen


def _into(reading: int, writing: int, act: Callable[[], None]) -> None:
    """Do something whose words go into a pipe, the other end of which is somebody else's."""
    os.close(reading)
    os.dup2(writing, sys.stdout.fileno())
    os.close(writing)
    act()


def _forked(act: Callable[[], None]) -> int:
    """Do something in a process of its own; return its id."""
    pid = os.fork()
    if pid == 0:
        act()
        sys.exit()
    return pid


def _claim_many(store: Store, hostname: str, count: int, random: Random) -> None:
    """Give so many endpoints an address each, one after the other."""
    for number in range(count):
        endpoint = _endpoint(store, hostname, random)
        if number % 3 == 2:
            addresses.retire(store, endpoint.key)
            print("removed", flush=True)
        else:
            print(f"kept {endpoint.addresses[0]}", flush=True)


def _endpoint(store: Store, hostname: str, random: Random) -> Endpoint:
    id_ = uuid.uuid4().hex
    endpoint = Endpoint(
        EndpointKey(hostname, DOCKER, id_, id_),
        State.ACTIVE,
        names.host_interface(id_),
        names.mac_address(id_),
    )

    def published(ips: Sequence[IPAddress]) -> Sequence[Change]:
        return [endpoints.publication(endpoint.with_addresses(tuple(ips)))]

    ips = addresses.claim_all(store, hostname, [AnyAddress.IPV4], id_, random, published)
    return endpoint.with_addresses(tuple(ips))


def _main(port: int, api: str, processes: int, count: int, hosts: int) -> None:
    settings = EtcdSettings("127.0.0.1", port, connect_timeout=60.0, timeout=60.0)

    def claim(hostname: str, missing: int) -> None:
        _claim_many(etcd_api.store(settings, api), hostname, missing, Random())

    pids = [
        _forked(partial(_claim_in_turns, partial(claim, f"h{each % hosts}"), count, Random(each)))
        for each in range(processes)
    ]
    ended = [os.waitpid(pid, 0)[1] for pid in pids]
    sys.exit(any(ended))


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2], *(int(word) for word in sys.argv[3:]))
