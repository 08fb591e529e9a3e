"""Who may speak to the proxy: by the names it is called, and not for other web pages."""

import pytest

from calico_ctl.proxy import edge
from calico_ctl.proxy.client_side import Request


def asked(*fields: str, http10: bool = False) -> Request:
    split = [field.encode().split(b": ", 1) for field in fields]
    pairs = [(name, value) for name, value in split]
    return Request("GET", b"/", pairs, http10)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:2377",
        "127.0.0.1:2377",
        "[::1]",
        "[::1]:1",
        "docker.example",
        "[fd80::1]:1",
    ],
)
def test_it_answers_to_the_loopback_and_to_its_names(host):
    names = edge.edge_of(["Docker.Example", "fd80::1"])
    assert names.refusal(asked(f"Host: {host}")) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil",
        ":2377",
        "[]",
        "::1",
        "a@localhost",
        "localhost:1x",
    ],
)
def test_it_does_not_answer_to_other_names(host):
    assert "not this proxy" in str(edge.edge_of([]).refusal(asked(f"Host: {host}")))


def test_only_clients_of_http10_need_not_say_whom_they_call():
    assert edge.edge_of([]).refusal(asked(http10=True)) is None
    assert edge.edge_of([]).refusal(asked()) is not None


def test_a_client_that_knows_no_name_may_say_so_but_no_web_page_may():
    """Docker's buildx calls /grpc and /session so; a browser has a name for whatever it calls."""
    assert edge.edge_of([]).refusal(asked("Host: ")) is None
    refused = edge.edge_of([]).refusal(asked("Host: ", "Origin: https://evil.example"))
    assert "web pages" in str(refused)
    assert edge.edge_of([]).refusal(asked("Host: ", "Host: evil.example")) is not None


@pytest.mark.parametrize("origin", ["http://localhost:8080", "https://127.0.0.1"])
def test_web_pages_of_this_machine_may_use_it(origin):
    assert edge.edge_of([]).refusal(asked("Host: localhost", f"Origin: {origin}")) is None


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "localhost", "http://localhost@evil"]
)
def test_other_web_pages_may_not(origin):
    refused = edge.edge_of([]).refusal(asked("Host: localhost", f"Origin: {origin}"))
    assert "web pages" in str(refused)


def test_who_is_known_by_a_certificate_may_use_any_name_but_no_web_page_may():
    names = edge.edge_of([], by_any_name=True)
    assert names.refusal(asked("Host: host1.example.org:2377")) is None
    refused = names.refusal(asked("Host: host1.example.org", "Origin: https://evil.example"))
    assert "web pages" in str(refused)
