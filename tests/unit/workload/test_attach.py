"""An interface for a container: all of it, or nothing."""

from contextlib import suppress
from dataclasses import replace
from itertools import count

import pytest
from netaddr import IPAddress

from calico_ctl.datastore import address_check, addresses, endpoints, status
from calico_ctl.errors import (
    AlreadyExists,
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
from calico_ctl.workload import attach
from calico_ctl.workload.attach import Attachment
from calico_ctl.workload.workload import Workload
from tests.support.machine import CONTAINER, GATEWAY, HOST, Killed, Machine, Unplugged

WEB = Workload("docker", CONTAINER, "web", "/proc/42/ns/net")
ADDRESS = IPAddress("192.168.1.5")


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.setattr(intents, "DIRECTORY", tmp_path)
    return tmp_path


@pytest.fixture
def machine() -> Machine:
    return Machine()


def wanted(**changes) -> Attachment:
    return replace(Attachment(WEB, (ADDRESS,)), **changes)


def test_an_attached_container_has_an_interface_an_endpoint_and_its_address(machine, directory):
    assert attach.attach(machine, wanted(profiles=("web",))).addresses == (ADDRESS,)
    (endpoint,) = endpoints.of_workload(machine.store, HOST, "docker", CONTAINER)
    (interface,) = machine.network.plugged.values()
    assert endpoint.addresses == interface.addresses == (ADDRESS,)
    assert endpoint.ipv4_gateway == GATEWAY
    assert interface.gateways == (GATEWAY,)
    assert endpoint.mac == interface.mac
    assert endpoint.name == interface.host_name == f"cali{endpoint.key.id[:11]}"
    assert endpoint.profiles == ("web",)
    owner = addresses.assigned(machine.store, ADDRESS)
    assert owner is not None
    assert owner.id == endpoint.key.id
    assert list(directory.iterdir()) == []


def refuse(machine: Machine, error: type[BaseException], **changes) -> str:
    with pytest.raises(error) as caught:
        attach.attach(machine, wanted(**changes))
    assert machine.left() == []
    assert list(intents.DIRECTORY.iterdir()) == []
    return str(caught.value)


def test_a_network_that_fails_leaves_nothing(machine):
    machine.network.fail = Unplugged("no veth today")
    assert "no veth today" in refuse(machine, Unplugged)


def test_an_interrupted_user_leaves_nothing(machine):
    machine.network.fail = KeyboardInterrupt()
    refuse(machine, KeyboardInterrupt)


def test_an_endpoint_that_cannot_be_written_leaves_nothing(machine):
    failures = [Conflict("somebody else was faster")]

    def refuse_once(verb: str, key: str) -> None:
        if verb == "create" and "/endpoint/" in key:
            raise failures.pop()

    machine.store.before = refuse_once
    assert "somebody else was faster" in refuse(machine, Conflict)
    assert failures == []


def test_an_address_that_was_taken_for_a_leak_meanwhile_is_not_used(machine):
    """Somebody else may get it."""

    def free(verb: str, key: str) -> None:
        if verb == "create" and "/endpoint/" in key:
            assert addresses.release(machine.store, ADDRESS, None)

    machine.store.before = free
    assert "address 192.168.1.5 was freed" in refuse(machine, Conflict)


def test_an_endpoint_that_was_written_although_the_answer_got_lost_is_removed(machine):
    def lose(revision: int) -> status.EndpointStatus | None:
        raise DatastoreUnavailable("127.0.0.1:4001", "the connection was cut")

    machine.store.answer = lose
    assert "cut" in refuse(machine, DatastoreUnavailable)


def test_a_user_who_is_tired_of_waiting_leaves_nothing(machine, monkeypatch):
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    machine.store.answer = lambda revision: None
    monkeypatch.setattr(machine.clock, "sleep", interrupt)
    refuse(machine, KeyboardInterrupt)


def test_an_agent_that_is_silent_leaves_nothing(machine):
    machine.store.answer = lambda revision: None
    assert "agent on host1" in refuse(machine, DeadlineExceeded, timeout=3.0)
    assert machine.clock.now == pytest.approx(3.0, abs=0.5)


def test_an_agent_that_refuses_leaves_nothing_and_says_why(machine):
    machine.store.answer = lambda revision: status.EndpointStatus(status.ERROR, revision, "why not")
    assert "why not" in refuse(machine, CalicoError)


def test_an_address_outside_all_pools_leaves_nothing(machine):
    assert "10.1.2.3" in refuse(machine, CalicoError, requests=(IPAddress("10.1.2.3"),))


def test_an_address_of_a_family_that_the_node_has_not_is_refused_first(machine):
    assert "IPv6" in refuse(machine, CalicoError, requests=(AnyAddress.IPV6,))


def test_a_machine_that_is_no_node_is_told_so(machine):
    machine.hostname = "host9"
    assert "host9" in refuse(machine, NotFound)


def test_a_second_interface_is_refused_and_the_first_stays(machine):
    attach.attach(machine, wanted())
    with pytest.raises(AlreadyExists, match="web already has Calico networking"):
        attach.attach(machine, wanted(requests=(AnyAddress.IPV4,)))
    assert len(machine.network.plugged) == 1


def test_a_taken_address_names_its_owner(machine):
    attach.attach(machine, wanted())
    other = Workload("docker", "d" * 64, "other", "/proc/43/ns/net")
    with pytest.raises(Conflict, match=r"192\.168\.1\.5"):
        attach.attach(machine, wanted(workload=other))
    assert len(machine.network.plugged) == 1


def etcd_goes_away(machine: Machine) -> None:
    """From the moment at which the endpoint would be written, nothing gets through."""

    def gone(verb: str, key: str) -> None:
        if verb != "create" or "/endpoint/" in key:
            machine.store.before = unreachable
            unreachable(verb, key)

    def unreachable(verb: str, key: str) -> None:
        raise DatastoreUnavailable("127.0.0.1:4001", "connection refused")

    machine.store.before = lambda verb, key: gone(verb, key) if "/endpoint/" in key else None


def test_what_cannot_be_taken_back_now_is_taken_back_later(machine, directory):
    etcd_goes_away(machine)
    with pytest.raises(CalicoError, match="not everything could be taken back"):
        attach.attach(machine, wanted())
    assert machine.network.plugged == {}
    assert len(list(directory.iterdir())) == 1

    machine.store.before = lambda verb, key: None
    assert len(attach.recover(machine)) == 1
    assert machine.left() == []
    assert list(directory.iterdir()) == []
    assert attach.recover(machine) == []


def test_recovery_waits_until_etcd_is_back(machine, directory):
    etcd_goes_away(machine)
    with pytest.raises(CalicoError):
        attach.attach(machine, wanted())
    with pytest.raises(DatastoreUnavailable):
        attach.recover(machine)
    assert len(list(directory.iterdir())) == 1


def test_an_intent_that_was_never_finished_is_dropped(machine, directory):
    (directory / "half").write_text('["host1", "dock')
    assert attach.recover(machine) == []
    assert list(directory.iterdir()) == []


def test_the_intent_stands_before_anything_is_changed(machine, directory):
    seen: list[str] = []

    def look(verb: str, key: str) -> None:
        if verb in {"create", "delete"}:
            seen.extend(path.read_text() for path in directory.iterdir())
            assert seen, f"{verb} {key} without an intent"

    machine.store.before = look
    attach.attach(machine, wanted())
    (endpoint,) = endpoints.of_workload(machine.store, HOST, "docker", CONTAINER)
    assert set(seen) == {attach.describe(endpoint.key)}


def test_what_a_killed_process_had_done_is_taken_back(machine, directory):
    attach.attach(machine, wanted())
    (endpoint,) = endpoints.of_workload(machine.store, HOST, "docker", CONTAINER)
    (directory / endpoint.key.id).write_text(attach.describe(endpoint.key))
    assert attach.recover(machine) == [endpoint.key]
    assert machine.left() == []
    assert list(directory.iterdir()) == []


BETWEEN_WRITES = {Kind.LEAKED, Kind.HANDLE, Kind.AFFINITY}


@pytest.mark.parametrize("transactional", [False, True])
def test_killed_at_any_request_it_leaves_nothing_half_done_or_what_is_taken_back(
    directory, transactional
):
    """Where several keys change at once, claim and endpoint are both there or neither is."""
    machine = Machine()
    for request in count():
        machine = Machine()
        machine.store.transactional = transactional
        machine.store.kill_at(request)
        with suppress(Killed):
            attach.attach(machine, wanted())
            break
        machine.store.revive()
        found = {finding.kind for finding in check.check(address_check.read(machine.store))}
        assert found <= (set() if transactional else BETWEEN_WRITES)
        attach.recover(machine)
        assert machine.left() == []
        left = {finding.kind for finding in check.check(address_check.read(machine.store))}
        assert left <= (set() if transactional else {Kind.AFFINITY})
        assert list(directory.iterdir()) == []
    assert request >= 5
    machine.store.revive()
    assert len(endpoints.all(machine.store)[0]) == 1
