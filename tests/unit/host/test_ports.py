"""Real sockets on loopback."""

import socket
from contextlib import closing

import pytest
from netaddr import IPAddress

from calico_ctl.errors import AlreadyExists, CalicoError
from calico_ctl.host import ports

FAMILIES = {"127.0.0.1": socket.AF_INET, "::1": socket.AF_INET6}


def listener(host: str) -> tuple[socket.socket, int]:
    made = socket.create_server((host, 0), family=FAMILIES[host])
    return made, made.getsockname()[1]


@pytest.mark.parametrize("host", FAMILIES)
def test_a_port_on_which_somebody_listens_is_taken(host):
    server, port = listener(host)
    with server, pytest.raises(AlreadyExists, match=f"something else listens on .*:{port} already"):
        ports.require_free(IPAddress(host), port)
    ports.require_free(IPAddress(host), port)


def test_somebody_who_listens_on_one_address_takes_the_port_from_all():
    server, port = listener("127.0.0.1")
    with server, pytest.raises(AlreadyExists):
        ports.require_free(IPAddress("0.0.0.0"), port)


def test_whoever_listens_for_ipv4_only_leaves_ipv6_free():
    server, port = listener("127.0.0.1")
    with server:
        ports.require_free(IPAddress("::"), port)


def test_a_connection_that_has_just_ended_takes_nothing():
    server, port = listener("127.0.0.1")
    with server, closing(socket.create_connection(("127.0.0.1", port))) as client:
        accepted, _ = server.accept()
        # Who closes first keeps the port in TIME_WAIT.
        accepted.close()
        assert client.recv(1) == b""
    ports.require_free(IPAddress("127.0.0.1"), port)


def test_an_address_of_another_machine_is_named_with_the_reason():
    with pytest.raises(CalicoError, match=r"listen on 192\.0\.2\.1:2377: .*address") as caught:
        ports.require_free(IPAddress("192.0.2.1"), 2377)
    assert "ip -brief address" in caught.value.hint
