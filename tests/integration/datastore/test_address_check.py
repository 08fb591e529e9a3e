"""Many processes that claim addresses and are killed: nothing twice, and nothing stays lost."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import address_check, nodes, pools
from calico_ctl.ipam import check
from calico_ctl.ipam.check import Kind
from calico_ctl.model.node import Node
from calico_ctl.model.pool import Pool
from tests.support.claimer import Claimer, kept
from tests.support.etcd_server import EtcdServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

PROCESSES, CLAIMS, HOSTS = 6, 80, 4


@pytest.mark.parametrize("api", ["2", "3"])
def test_after_many_kills_no_address_is_twice_and_none_is_lost(api: str, tmp_path: Path) -> None:
    """Where claim and endpoint are one write, nothing is half done."""
    server = EtcdServer(tmp_path, v2=api == "2")
    server.start()
    try:
        _kill_and_look(server, api)
    finally:
        server.stop()


def _kill_and_look(server: EtcdServer, api: str) -> None:
    store = server.own_store(connect_timeout=60.0, timeout=60.0)
    pools.create(store, Pool(IPNetwork("10.0.0.0/23")))
    for number in range(HOSTS):
        nodes.register(store, Node(f"h{number}", IPAddress(f"10.0.{number}.77")))

    def claim_all(number: int) -> list[str]:
        """Have one claimer after the other until all is done; each but the last is killed."""
        chance, lines = Random(number), list[str]()
        while (missing := CLAIMS - len(lines)) > 0:
            limit = chance.randrange(10, 25) if missing > 40 else None
            claimer = Claimer(server.client_port, api, f"h{number % HOSTS}", missing)
            lines += claimer.follow(limit)
        return lines

    with ThreadPoolExecutor(PROCESSES) as threads:
        said = list(threads.map(claim_all, range(PROCESSES)))

    assert all(line.startswith(("kept ", "removed")) for lines in said for line in lines), said
    left = [ip for lines in said for ip in kept(lines)]
    assert len(left) == len(set(left)) > PROCESSES * CLAIMS // 2
    seen = address_check.read(store)
    found = check.check(seen)
    half_done = {Kind.LEAKED, Kind.HANDLE, Kind.AFFINITY} if api == "2" else set()
    assert {each.kind for each in found} <= half_done, found
    held = {ip for endpoint in seen.endpoints for ip in endpoint.addresses}
    assert set(left) <= held
    assert not held & set(seen.host_addresses)

    for finding in found:
        if finding.repair is not None:
            address_check.repair(store, finding.repair)
    after = address_check.read(store)
    assert check.check(after) == []
    assert {ip for each, _ in after.blocks.values() for ip, _ in each.addresses()} == held
    store.close()
