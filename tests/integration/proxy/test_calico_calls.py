"""Calls that are ours, with a real engine: what is asked, what it is told, what is shown."""

import contextlib
import json
from typing import Any

import pytest

from tests.support.differential import FOREVER, alike, chunked, heard, new_name
from tests.support.engine import IMAGE
from tests.support.wire import Wire


@pytest.fixture
def name(both):
    chosen = new_name()
    yield chosen
    both.ask(f"DELETE /containers/{chosen}?force=1")


def request(wish: str, **more: object) -> bytes:
    environment = [f"CALICO_IP={wish}", "CALICO_PROFILE=web"]
    return json.dumps({"Image": IMAGE, "Cmd": FOREVER, "Env": environment, **more}).encode()


def network_of(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(body)["NetworkSettings"]
    return found


def without_network(body: bytes) -> dict[str, Any]:
    return {**json.loads(body), "NetworkSettings": "(ours)"}


def test_a_whole_life_on_one_connection(both, proxy, name):
    with Wire(proxy.address) as connection:
        made = connection.ask(f"POST /v1.41/containers/create?name={name}", request("10.65.0.5"))
        assert made.status == 201
        container_id = json.loads(made.body)["Id"]
        assert proxy.said("check 10.65.0.5 web")
        assert proxy.said(f"reserve {container_id}")
        assert connection.ask(f"POST /containers/{name}/start").status == 204
        assert proxy.said(f"connect {container_id}") == 1
        assert connection.ask(f"POST /containers/{name}/start").status == 304
        assert proxy.said(f"connect {container_id}") == 1
        assert connection.ask(f"POST /containers/{container_id[:12]}/restart?t=5").status == 204
        assert proxy.said(f"connect {container_id}") == 2
        assert connection.ask(f"DELETE /containers/{name}").status == 409
        assert not proxy.said(f"release {container_id}")
        assert connection.ask(f"DELETE /containers/{name}?force=1").status == 204
        assert proxy.said(f"release {container_id}") == 1


def test_the_engines_answers_to_create_and_start_come_as_they_are(both, proxy, name):
    def life(connection: Wire, body: bytes) -> list[bytes]:
        said = heard(connection.ask(f"POST /containers/create?name={name}", body))
        said += heard(connection.ask(f"POST /containers/{name}/start"))
        said += heard(connection.ask(f"DELETE /containers/{name}?force=1"))
        return [alike(each) for each in said]

    without = json.dumps({"Image": IMAGE, "Cmd": FOREVER, "HostConfig": {"NetworkMode": "none"}})
    with Wire(both.engine.socket) as connection:
        direct = life(connection, without.encode())
    with Wire(proxy.address) as connection:
        assert life(connection, request("10.65.0.5")) == direct


@pytest.mark.parametrize("prefix", ["", "/v1.41", "/v1.40", "/v1.21"])
def test_the_address_is_where_each_version_looks_for_it(both, proxy, name, prefix):
    with Wire(proxy.address) as connection:
        connection.ask(f"POST /containers/create?name={name}", request("10.65.0.5,fd80::5"))
        connection.ask(f"POST /containers/{name}/start")
        through = connection.ask(f"GET {prefix}/containers/{name}/json").body
        listed = json.loads(connection.ask(f"GET {prefix}/containers/json").body)
        direct = both.ask(f"GET {prefix}/containers/{name}/json").body
    assert without_network(through) == without_network(direct)
    shown, engines = network_of(through), network_of(direct)
    assert shown["IPAddress"] == shown["Networks"]["calico"]["IPAddress"] == "10.65.0.5"
    assert shown["GlobalIPv6Address"] == "fd80::5"
    assert shown["Gateway"] == "172.17.8.101"
    assert [*shown["Networks"]] == ["calico"]
    assert shown["Networks"]["calico"].keys() == engines["Networks"]["none"].keys()
    assert shown.keys() == engines.keys()
    (ours,) = [each for each in listed if each["Names"] == [f"/{name}"]]
    assert ours["NetworkSettings"]["Networks"]["calico"]["GlobalIPv6Address"] == "fd80::5"


def test_the_address_is_where_a_version_without_networks_looks_for_it(proxy, name):
    with Wire(proxy.address) as connection:
        connection.ask(f"POST /containers/create?name={name}", request("10.65.0.5"))
        shown = network_of(connection.ask(f"GET /v1.20/containers/{name}/json").body)
    assert shown["IPAddress"] == "10.65.0.5"
    assert "Networks" not in shown


@pytest.mark.parametrize(
    ("wish", "more", "status", "message"),
    [
        ("10.65.0.256", {}, 400, "CALICO_IP"),
        ("10.65.0.99", {}, 409, "10.65.0.99 is taken; choose another"),
        ("10.65.0.98", {}, 409, "no address is left"),
        ("auto", {"HostConfig": {"PublishAllPorts": True}}, 400, "published ports"),
        ("auto", {"hostCONFIG": {"portBINDINGS": {"80/tcp": [{}]}}}, 400, "published ports"),
    ],
)
def test_a_wish_that_cannot_be_is_refused_and_nothing_stays(proxy, wish, more, status, message):
    name = new_name()
    with Wire(proxy.address) as connection:
        answer = connection.ask(f"POST /containers/create?name={name}", request(wish, **more))
        assert (answer.status, answer.header("Content-Type")) == (status, "application/json")
        assert message in json.loads(answer.body)["message"]
        assert connection.ask(f"GET /containers/{name}/json").status == 404


def test_a_container_without_network_is_stopped_again(both, proxy, name):
    with Wire(proxy.address) as connection:
        connection.ask(f"POST /containers/create?name={name}", request("10.65.0.97"))
        answer = connection.ask(f"POST /containers/{name}/start")
    assert answer.status == 504
    assert json.loads(answer.body)["message"] == "the agent does not answer; look at its log"
    state = json.loads(both.ask(f"GET /containers/{name}/json").body)["State"]
    assert not state["Running"]


@pytest.mark.parametrize("way", ["length", "chunks", "expect", "kind"])
def test_a_wish_is_found_however_the_request_comes(both, proxy, name, way):
    body = request("10.65.0.5", HostConfig={"NetworkMode": "host"})
    target = f"POST /%63ontainers/create?name={name}"
    kind = {"Content_Type": "application/json"}
    with Wire(proxy.address) as connection:
        if way == "chunks":
            kind["Transfer_Encoding"] = "chunked"
            answer = connection.ask(target, chunked(body, 3, b"X-Sum: 1\r\n"), **kind)
        elif way == "expect":
            kind |= {"Expect": "100-continue", "Content_Length": str(len(body))}
            connection.request(target, b"", **kind)
            assert connection.answer().status == 100
            connection.send(body)
            answer = connection.answer()
        elif way == "kind":
            answer = connection.ask(target, body, Content_Type="Application/JSON; charset=utf-8")
        else:
            answer = connection.ask(target, body)
    assert answer.status == 201
    engines = json.loads(both.ask(f"GET /containers/{name}/json").body)
    assert engines["HostConfig"]["NetworkMode"] == "none"


@pytest.mark.parametrize("network", [{}, {"NetworkMode": "host"}], ids=str)
def test_a_network_that_an_old_client_names_at_start_is_overridden_too(both, proxy, name, network):
    host = {"Binds": ["/tmp:/there"], **network}
    with Wire(proxy.address) as connection:
        connection.ask(f"POST /v1.20/containers/create?name={name}", request("10.65.0.5"))
        start = f"POST /v1.20/containers/{name}/start"
        assert connection.ask(start, json.dumps(host).encode()).status == 204
    engines = json.loads(both.ask(f"GET /containers/{name}/json").body)
    assert engines["HostConfig"]["NetworkMode"] == "none"
    assert engines["HostConfig"]["Binds"] == ["/tmp:/there"]
    assert [*engines["NetworkSettings"]["Networks"]] == ["none"]


def test_a_create_request_that_is_too_long_is_refused(proxy):
    kind = {"Content_Type": "application/json", "Transfer_Encoding": "chunked"}
    with Wire(proxy.address) as connection:
        connection.request("POST /containers/create", b"", **kind)
        with contextlib.suppress(OSError):
            connection.send(chunked(b" " * 17_000_000, 100_000))
        answer = connection.answer()
    assert answer.status == 413
    assert "longer" in json.loads(answer.body)["message"]


def test_what_is_secret_is_not_logged(proxy, name):
    body = request("10.65.0.5", Labels={"a": "hush-label"}).replace(b"web", b'web","KEY=hush-env')
    with Wire(proxy.address) as connection:
        target = f"POST /containers/create?name={name}&hush=hush-query"
        connection.ask(target, body, X_Registry_Auth="hush-header")
        connection.ask(f"POST /containers/{name}/start?hush=hush-query")
        connection.ask(f"DELETE /containers/{name}?force=1&hush=hush-query")
    assert "hush" not in proxy.log.read_text()
