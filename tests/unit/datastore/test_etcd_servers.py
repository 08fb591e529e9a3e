"""Who is asked next, and how long; real servers are in tests/integration/datastore."""

import socket

import pytest

from calico_ctl.datastore.connection import Connection
from calico_ctl.datastore.etcd_servers import ServerFailed, Servers
from calico_ctl.model.etcd_access import EtcdAuthority

MEMBERS = [EtcdAuthority(name, 1) for name in ("a", "b", "c")]


def servers(number: int = 3) -> Servers:
    return Servers(MEMBERS[:number], connect_timeout=2.0)


def test_the_time_is_shared_among_those_that_were_not_tried():
    some = servers()
    turn = some.round(3000.0)
    for failed, share in (("a:1", 1000.0), ("b:1", 1500.0), ("c:1", 3000.0)):
        # What the test itself takes is taken off.
        assert share - 100 < some.patience(turn) <= share
        some.leave(ServerFailed(failed, "no"), turn)
    assert some.exhausted(turn)


def test_without_time_nobody_is_left_but_a_wait_is_never_without_any():
    some = servers()
    turn = some.round(0.0)
    assert some.exhausted(turn)
    assert some.patience(turn) > 0


def test_whom_it_left_is_named_in_the_order_given():
    some = servers()
    turn = some.round(1000.0)
    for name in ("c", "a"):
        some.leave(ServerFailed(f"{name}:1", f"{name} failed"), turn)
    message = some.unavailable(turn).message
    assert message == "cannot reach etcd at a:1 (a failed), c:1 (c failed)"


@pytest.mark.parametrize("number", [1, 3])
def test_trouble_with_tls_has_a_hint_of_its_own(number):
    some = servers(number)
    turn = some.round(1000.0)
    some.leave(ServerFailed("a:1", "TLS: untrusted"), turn)
    assert "ETCD_CA_CERT_FILE" in some.unavailable(turn).hint


def test_connections_to_whom_it_left_are_not_kept_and_others_are():
    """They may look alive: a machine without power says nothing."""
    some = servers()
    kept = some.pool()
    ends = [socket.socketpair() for _ in MEMBERS]
    for member, (ours, _) in zip(MEMBERS, ends, strict=True):
        kept.append(Connection(ours, str(member)))
    turn = some.round(1000.0)
    some.leave(ServerFailed("b:1", "no answer"), turn)
    assert [each.host for each in kept] == ["a:1", "c:1"]
    assert ends[1][0].fileno() == -1
    # Whoever failed this request is not asked again for it, though it is kept for others.
    turn.failed["c:1"] = "no"
    assert some.connection(kept, "/x", turn).host == "a:1"
    for pair in ends:
        for end in pair:
            end.close()
