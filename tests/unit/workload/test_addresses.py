"""More addresses, or fewer, for a container: all of it, or nothing."""

from collections.abc import Callable
from contextlib import suppress
from itertools import count

import pytest
from netaddr import IPAddress

from calico_ctl.datastore import address_check, endpoints, nodes, status
from calico_ctl.datastore import addresses as ipam
from calico_ctl.errors import (
    CalicoError,
    Conflict,
    DatastoreUnavailable,
    DeadlineExceeded,
    NotFound,
)
from calico_ctl.host import intents
from calico_ctl.ipam import check
from calico_ctl.ipam.check import Kind
from calico_ctl.model.address import AnyAddress
from calico_ctl.model.endpoint import Endpoint
from calico_ctl.model.node import Node
from calico_ctl.workload import addresses, attach, detach, membership
from calico_ctl.workload.attach import Attachment
from calico_ctl.workload.which_endpoint import Filter
from calico_ctl.workload.workload import Workload
from tests.support.machine import CONTAINER, GATEWAY, HOST, Killed, Machine, Unplugged

WEB = Workload("docker", CONTAINER, "web", "/run/netns/web")
FIRST, SECOND = IPAddress("192.168.1.5"), IPAddress("192.168.1.6")
SIXTH = IPAddress("fd80:24e2:f998:72d6::5")


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(intents, "DIRECTORY", tmp_path)


@pytest.fixture(params=[False, True], ids=["one by one", "together"])
def machine(request) -> Machine:
    return attached(transactional=request.param)


def attached(*, transactional: bool) -> Machine:
    """Return a machine whose container has the first address."""
    machine = Machine()
    machine.store.transactional = transactional
    nodes.register(machine.store, Node(HOST, GATEWAY, IPAddress("fd99::1")))
    attach.attach(machine, Attachment(WEB, (FIRST,)))
    return machine


def stored(machine: Machine) -> Endpoint:
    (endpoint,) = endpoints.of_workload(machine.store, HOST, "docker", CONTAINER)
    return endpoint


def test_a_second_address_is_beside_the_first(machine):
    assert addresses.add(machine, WEB, SECOND) == SECOND
    assert stored(machine).addresses == (FIRST, SECOND)
    (interface,) = machine.network.plugged.values()
    assert interface.addresses == (FIRST, SECOND)
    assert getattr(ipam.assigned(machine.store, SECOND), "id", None) == stored(machine).key.id


def test_an_address_of_another_family_brings_its_gateway_and_takes_it_along(machine):
    addresses.add(machine, WEB, AnyAddress.IPV6)
    (_, sixth) = stored(machine).addresses
    assert stored(machine).ipv6_gateway == IPAddress("fd99::1")
    (interface,) = machine.network.plugged.values()
    assert len(interface.gateways) == 2
    addresses.remove(machine, WEB, sixth)
    assert stored(machine).ipv6_gateway is None
    assert stored(machine).addresses == (FIRST,)
    assert ipam.assigned(machine.store, sixth) is None


def test_even_the_last_address_may_be_removed(machine):
    addresses.remove(machine, WEB, FIRST)
    assert stored(machine).addresses == ()
    (interface,) = machine.network.plugged.values()
    assert interface.addresses == ()
    assert ipam.assigned(machine.store, FIRST) is None


def refuse(machine: Machine, error: type[CalicoError], ip: IPAddress = SECOND) -> str:
    before, plugged = stored(machine), dict(machine.network.plugged)
    with pytest.raises(error) as caught:
        addresses.add(machine, WEB, ip)
    assert stored(machine) == before
    assert machine.network.plugged == plugged
    assert ipam.assigned(machine.store, SECOND) is None
    return str(caught.value)


def test_an_address_that_it_has_already_is_refused(machine):
    assert "already" in refuse(machine, Conflict, FIRST)


def test_an_address_that_was_taken_for_a_leak_meanwhile_is_not_used(machine):
    def free(revision: int) -> status.EndpointStatus:
        ipam.release(machine.store, SECOND, None)
        return status.EndpointStatus(status.UP, revision)

    machine.store.answer = free
    assert "address 192.168.1.6 was freed" in refuse(machine, Conflict)


def test_a_silent_agent_changes_nothing(machine):
    machine.store.answer = lambda revision: None
    refuse(machine, DeadlineExceeded)


def test_an_address_that_was_written_although_the_answer_got_lost_is_taken_back(machine):
    answer = machine.store.answer

    def lose_once(revision: int) -> status.EndpointStatus | None:
        machine.store.answer = answer
        raise DatastoreUnavailable("127.0.0.1:4001", "the connection was cut")

    machine.store.answer = lose_once
    assert "cut" in refuse(machine, DatastoreUnavailable)


def test_an_interface_that_refuses_changes_nothing(machine):
    machine.network.fail = Unplugged("no address today")
    with pytest.raises(CalicoError, match="no address today"):
        addresses.add(machine, WEB, SECOND)
    assert stored(machine).addresses == (FIRST,)
    assert ipam.assigned(machine.store, SECOND) is None


def test_what_it_does_not_have_cannot_be_removed(machine):
    with pytest.raises(NotFound, match=r"does not have address 192\.168\.1\.6"):
        addresses.remove(machine, WEB, SECOND)


def test_a_container_without_networking_is_told_of_container_add(machine):
    other = Workload("docker", "d" * 64, "other", "/run/netns/other")
    with pytest.raises(NotFound) as caught:
        addresses.add(machine, other, SECOND)
    assert "container add other" in caught.value.hint


def test_another_interface_than_it_has_is_refused(machine):
    with pytest.raises(CalicoError, match="is eth1, not eth2"):
        addresses.add(machine, WEB, SECOND, "eth2")


def gets_a_profile_meanwhile(machine: Machine) -> None:
    """Let somebody else be faster with the endpoint, once."""

    def edit(verb: str, key: str) -> None:
        if verb == "together" or (verb == "swap" and "/endpoint/" in key):
            machine.store.revive()
            endpoints.edit(machine.store, stored(machine).key, lambda e: e.with_profiles(("new",)))

    machine.store.before = edit


def test_what_somebody_else_changes_at_that_moment_is_kept(machine):
    gets_a_profile_meanwhile(machine)
    second = addresses.add(machine, WEB, AnyAddress.IPV4)
    assert stored(machine).profiles == ("new",)
    assert stored(machine).addresses == (FIRST, second)
    membership.change(machine, Filter(HOST), "set", ())
    gets_a_profile_meanwhile(machine)
    addresses.remove(machine, WEB, FIRST)
    assert stored(machine).profiles == ("new",)
    assert stored(machine).addresses == (second,)
    assert findings(machine) == set()


def findings(machine: Machine) -> set[Kind]:
    return {finding.kind for finding in check.check(address_check.read(machine.store))}


BETWEEN_WRITES = {Kind.LEAKED, Kind.HANDLE, Kind.AFFINITY}


def is_on_the_interface(machine: Machine) -> bool:
    return any(SECOND in each.addresses for each in machine.network.plugged.values())


def require_sound(machine: Machine) -> None:
    """Nobody else may get what the container still uses."""
    assert findings(machine) <= (set() if machine.store.transactional else BETWEEN_WRITES)
    if is_on_the_interface(machine) or SECOND in stored(machine).addresses:
        owner = ipam.assigned(machine.store, SECOND)
        assert owner is not None
        assert owner.id == stored(machine).key.id


def detached(machine: Machine) -> bool:
    """Take all from the container; say whether nothing is left."""
    detach.detach(machine, WEB)
    return machine.left() == [] and findings(machine) <= {Kind.AFFINITY}


def killed_at_each_request(
    begin: Callable[[], Machine],
    act: Callable[[Machine], object],
    ending: str,
    look: Callable[[Machine], object],
) -> int:
    """Kill `act` at each of its requests, on a machine of its own; return how many there are.

    What is left is detached, or `look` does it again and looks at it.
    """
    for request in count():
        machine = begin()
        machine.store.kill_at(request)
        with suppress(Killed):
            act(machine)
            break
        machine.store.revive()
        require_sound(machine)
        if ending == "detach":
            assert detached(machine)
            continue
        look(machine)
    return request


@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize("ending", ["again", "detach"])
def test_killed_at_any_request_an_address_comes_with_its_claim(transactional, ending):
    """Where only one key changes at a time the claim comes first, and is found by its owner."""

    def begin() -> Machine:
        return attached(transactional=transactional)

    def add(machine: Machine) -> None:
        addresses.add(machine, WEB, SECOND)

    def look(machine: Machine) -> None:
        with suppress(Conflict):
            add(machine)
        assert stored(machine).addresses == (FIRST, SECOND)
        assert is_on_the_interface(machine)
        assert findings(machine) == set()

    requests = killed_at_each_request(begin, add, ending, look)
    assert requests >= (4 if transactional else 6)


@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize("ending", ["again", "detach"])
def test_killed_at_any_request_an_address_goes_with_its_claim(transactional, ending):
    """Where only one key changes at a time the endpoint comes first; what then leaks is found."""

    def begin() -> Machine:
        machine = attached(transactional=transactional)
        addresses.add(machine, WEB, SECOND)
        return machine

    def remove(machine: Machine) -> None:
        addresses.remove(machine, WEB, SECOND)

    def look(machine: Machine) -> None:
        with suppress(NotFound):
            remove(machine)
        assert stored(machine).addresses == (FIRST,)
        assert not is_on_the_interface(machine)
        if transactional:
            assert ipam.assigned(machine.store, SECOND) is None

    requests = killed_at_each_request(begin, remove, ending, look)
    assert requests >= (3 if transactional else 5)
