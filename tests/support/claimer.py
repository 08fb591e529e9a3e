"""A process that claims addresses and publishes endpoints until it has enough, or is killed.

Run as a program it says `kept <address>` for each endpoint that it leaves; every third it removes
again, as `container remove` does.
"""

import subprocess
import sys
import uuid
from collections.abc import Sequence
from random import Random

from netaddr import IPAddress

from calico_ctl.datastore import addresses, endpoints, etcd_api
from calico_ctl.datastore.etcd_requests import EtcdSettings
from calico_ctl.datastore.store import Change, Store
from calico_ctl.model import names
from calico_ctl.model.address import AnyAddress
from calico_ctl.model.endpoint import DOCKER, Endpoint, EndpointKey, State
from tests.support.command import DIES_WITH_US
from tests.support.paths import CHECKOUT


class Claimer:
    """One such process, on a host of that name, which speaks that API of an etcd."""

    def __init__(self, port: int, api: str, hostname: str, count: int) -> None:
        words = [str(port), api, hostname, str(count)]
        program = [sys.executable, "-m", "tests.support.claimer", *words]
        self._process = subprocess.Popen(
            [*DIES_WITH_US, *program],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def follow(self, limit: int | None = None) -> list[str]:
        """Read what it says until its end, or kill it at that line; return its lines."""
        lines: list[str] = []
        assert self._process.stdout is not None
        with self._process.stdout as said:
            for line in said:
                lines.append(line.strip())
                if len(lines) == limit:
                    self._process.kill()
        self._process.wait()
        return lines


def claim_many(store: Store, hostname: str, count: int, random: Random) -> None:
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


def kept(lines: list[str]) -> list[IPAddress]:
    """Return the addresses of the endpoints that were left."""
    return [IPAddress(line.split()[1]) for line in lines if line.startswith("kept ")]


if __name__ == "__main__":
    port, api, hostname, count = sys.argv[1:]
    settings = EtcdSettings("127.0.0.1", int(port), connect_timeout=60.0, timeout=60.0)
    claim_many(etcd_api.store(settings, api), hostname, int(count), Random())
