"""What the proxy reads in create requests, and what it writes there and in Docker's answers."""

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from netaddr import IPAddress

from calico_ctl.errors import InvalidValue
from calico_ctl.model import wish
from calico_ctl.model.address import AnyAddress
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.model.wish import Wish
from calico_ctl.proxy import json_text, rewrite
from tests.support import create_bodies, go_json

AUTO = Wish((AnyAddress.IPV4,))
ID = "4f" * 32
MAC = "02:42:0a:41:00:01"


def endpoint(*addresses: str, mac: str | None = MAC, ipv6_gateway: str = "") -> Endpoint:
    return Endpoint(
        EndpointKey("host-a", "docker", ID, "e1"),
        State.ACTIVE,
        "cali4f",
        mac,
        addresses=tuple(map(IPAddress, addresses)),
        ipv4_gateway=IPAddress("172.17.8.101"),
        ipv6_gateway=IPAddress(ipv6_gateway) if ipv6_gateway else None,
    )


def finding(found: Endpoint) -> Callable[[str], Endpoint | None]:
    return lambda container_id: found if container_id == ID else None


def create(**members: object) -> bytes:
    return json.dumps({"Image": "web", "Env": ["A=b", "CALICO_IP=auto"], **members}).encode()


# A create request that wishes.


def test_a_wish_is_found_in_the_environment():
    body = b'{"Image":"web","Env":["A=b","CALICO_IP=10.65.0.1","CALICO_PROFILE=web,db"]}'
    assert rewrite.wish_of_create(body) == Wish((IPAddress("10.65.0.1"),), ("web", "db"))


@pytest.mark.parametrize(
    "body",
    [
        b'{"env":["CALICO_IP=auto"]}',
        b'{"\\u0045nv":["CALICO_IP=auto"]}',
        b' \r\n{ "Env" : [ "CALICO_IP=auto" ] } ',
        b'{"Env":[],"ENV":["CALICO_IP=auto"]}',
        b'{"Env":["\\u0043ALICO_IP=auto"]}',
        b'{"Env":["CALICO_IP=auto"],"Cmd":["\xff"]}',
        b'{"Env":["A=\xff","B=\\ud800","CALICO_IP=auto"]}',
        b'{"Env":["CALICO_IP=auto"]}{"Env":null} and more',
        b'{"Env":["CALICO_IP=auto"],"Env":[null]}',
        b'{"Env":["CALICO_IP=auto"],"Big":' + b"9" * 5000 + b"}",
    ],
)
def test_a_wish_is_found_wherever_docker_would_find_it(body):
    assert rewrite.wish_of_create(body) == AUTO


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"Env":["A=b"]}',
        b'{"Env":null}',
        b'{"Env":["CALICO_IP=auto"],"Env":["A=b"]}',
        b'{"Env":["CALICO_IP=auto"],"env":null}',
        b'{"Labels":{"Env":["CALICO_IP=auto"]}}',
        b'{"HostConfig":{"Env":["CALICO_IP=auto"]}}',
    ],
)
def test_a_request_without_a_wish_is_not_ours(body):
    assert rewrite.wish_of_create(body) is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"Env":["CALICO_IP=auto"]',
        b'{"Env":"CALICO_IP=auto"}',
        b'{"Env":["CALICO_IP=auto",5]}',
        b'{"Env":["CALICO_IP=auto"],"HostConfig":5}',
        b'{"Env":["CALICO_IP=auto"],"HostConfig":{"PublishAllPorts":"yes"}}',
        b'{"Env":["CALICO_IP=auto"],"HostConfig":{"PortBindings":[]}}',
        b'\xef\xbb\xbf{"Env":["CALICO_IP=auto"]}',
        '{"Env":["CALICO_IP=auto"]}'.encode("utf-16"),
        b"\xff\xfe",
    ],
)
def test_what_docker_refuses_is_left_to_docker(body):
    assert rewrite.wish_of_create(body) is None


def test_a_wish_that_cannot_be_read_is_refused():
    with pytest.raises(InvalidValue, match="CALICO_IP"):
        rewrite.wish_of_create(b'{"Env":["CALICO_IP=10.65.0.256"]}')
    with pytest.raises(InvalidValue, match="CALICO_IP"):
        rewrite.wish_of_create(b'{"Env":["CALICO_IP=\xff\\ud800"]}')


def test_nesting_without_end_is_refused_if_there_may_be_a_wish_in_it():
    deep = b'{"Env":["CALICO_IP=auto"],"A":' + b'{"A":' * 50_000 + b"1" + b"}" * 50_001
    with pytest.raises(InvalidValue, match="nested"):
        rewrite.wish_of_create(deep)
    assert rewrite.wish_of_create(deep.replace(b"CALICO_IP", b"COLOUR")) is None


def with_members(count: int) -> bytes:
    """A create request with so many members at its top: nothing takes more memory."""
    more = ",".join(f'"{number:x}":0' for number in range(count))
    return b'{"Env":["CALICO_IP=auto"],' + more.encode() + b"}"


def test_too_many_values_are_refused_if_there_may_be_a_wish_in_them():
    much = with_members(json_text.VALUE_LIMIT)
    for read in (
        rewrite.wish_of_create,
        rewrite.without_network,
        rewrite.sets_host_config,
        rewrite.start_without_network,
    ):
        with pytest.raises(InvalidValue, match="number of values in the request body 300002"):
            read(much)
    assert rewrite.container_that_joins(much) == ""
    assert rewrite.wish_of_create(much.replace(b"CALICO_IP", b"COLOUR")) is None


def test_all_ports_may_be_exposed():
    ports: dict[str, object] = {
        f"{port}/{kind}": {} for port in range(1, 65536) for kind in ("tcp", "udp")
    }
    assert rewrite.wish_of_create(create(ExposedPorts=ports)) == AUTO


def test_a_value_takes_no_more_memory_than_is_said():
    """As many as are allowed, in the worst place, and the whole request is far from a gigabyte."""
    count = 10_000
    body = with_members(count)
    tracemalloc.start()
    try:
        changed = rewrite.without_network(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(changed) > len(body)
    assert peak / count * json_text.VALUE_LIMIT < 150_000_000


@pytest.mark.parametrize(
    "host",
    [
        {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}},
        {"portbindings": {"80/tcp": []}},
        {"PublishAllPorts": True},
    ],
)
def test_published_ports_are_refused_and_the_address_is_named(host):
    body = json.dumps({"Env": ["CALICO_IP=fd80::5,10.65.0.1"], "HostConfig": host}).encode()
    with pytest.raises(
        InvalidValue, match=r"published ports .* own address fd80::5, and .*profiles"
    ):
        rewrite.wish_of_create(body)


def test_published_ports_are_named():
    bindings = {"80/tcp": [{"HostPort": "8080"}], "53/udp": None}
    with pytest.raises(
        InvalidValue, match=r"published ports '80/tcp, 53/udp': .* own address, and"
    ):
        rewrite.wish_of_create(create(HostConfig={"PortBindings": bindings}))


def test_published_ports_of_two_host_configs_are_refused():
    body = b'{"Env":["CALICO_IP=auto"],"HostConfig":{"PublishAllPorts":true},"HostConfig":{}}'
    with pytest.raises(InvalidValue, match="published ports 'all'"):
        rewrite.wish_of_create(body)


def test_published_ports_at_the_top_are_refused_where_docker_reads_them():
    with pytest.raises(InvalidValue, match="published ports"):
        rewrite.wish_of_create(create(PortBindings={"80/tcp": [{}]}))
    assert rewrite.wish_of_create(create(PortBindings={"80/tcp": [{}]}, HostConfig={})) == AUTO


@pytest.mark.parametrize(
    "host", [{}, None, {"PortBindings": {}}, {"PortBindings": None, "PublishAllPorts": False}]
)
def test_a_port_that_is_not_published_may_be_exposed(host):
    assert rewrite.wish_of_create(create(HostConfig=host, ExposedPorts={"80/tcp": {}})) == AUTO


def test_ports_of_a_container_that_is_not_ours_are_dockers():
    body = b'{"Env":[],"HostConfig":{"PortBindings":{"80/tcp":[{}]}}}'
    assert rewrite.wish_of_create(body) is None


# The network is taken away.


@pytest.mark.parametrize(
    "mode", ["host", "bridge", "default", "none", "", "container:web", "lan", None, 5]
)
def test_every_network_becomes_none(mode):
    body = rewrite.without_network(create(HostConfig={"NetworkMode": mode, "Memory": 7}))
    assert json.loads(body)["HostConfig"] == {"NetworkMode": "none", "Memory": 7}


@pytest.mark.parametrize("more", [{}, {"HostConfig": None}])
def test_without_a_host_config_there_is_one_afterwards(more):
    assert json.loads(rewrite.without_network(create(**more)))["HostConfig"] == {
        "NetworkMode": "none"
    }


def test_what_goes_with_dockers_networks_goes_too():
    lan = {"IPAMConfig": {"IPv4Address": "10.0.0.5"}, "Aliases": ["db"], "Links": ["web"]}
    body = create(
        MacAddress="02:42:00:00:00:05",
        NetworkDisabled=True,
        HostConfig={"NetworkMode": "lan", "Links": ["web:web"], "ExtraHosts": ["a:10.0.0.1"]},
        NetworkingConfig={"EndpointsConfig": {"lan": lan, "bridge": {}}, "Future": 1},
    )
    assert json.loads(rewrite.without_network(body)) == {
        "Image": "web",
        "Env": ["A=b", "CALICO_IP=auto"],
        "HostConfig": {"ExtraHosts": ["a:10.0.0.1"], "NetworkMode": "none"},
        "NetworkingConfig": {"Future": 1, "EndpointsConfig": {}},
    }


def test_two_host_configs_become_one_that_says_the_same():
    second = b'"hostCONFIG":{"memory":6,"networkMODE":"host"}'
    body = b'{"HostConfig":{"Memory":5,"Binds":["a:b"]},%s}' % second
    assert rewrite.without_network(body) == (
        b'{"HostConfig":{"Memory":5,"Binds":["a:b"],"memory":6,"NetworkMode":"none"}}'
    )


def test_host_settings_at_the_top_are_not_lost():
    body = b'{"Image":"web","Binds":["a:b"],"Memory":5,"NetworkMode":"host"}'
    assert rewrite.without_network(body) == (
        b'{"Image":"web","Binds":["a:b"],"Memory":5,"NetworkMode":"host",'
        b'"HostConfig":{"Binds":["a:b"],"Memory":5,"NetworkMode":"none"}}'
    )


def test_everything_else_stays_byte_for_byte():
    odd = b'"Cmd":["\xff","\\u003c<\\/\xc3\xa9"],"Future":{"x" : 1.50E+3 },"Big":123456789012345678'
    body = b"{" + odd + b',"HostConfig":{"Ulimits":[ {"Name":"core"} ],"NanoCpus":0.0}}\n{}tail'
    assert rewrite.without_network(body) == (
        b"{" + odd + b',"HostConfig":{"Ulimits":[ {"Name":"core"} ],"NanoCpus":0.0,'
        b'"NetworkMode":"none"}}\n{}tail'
    )


@pytest.mark.parametrize(
    "body", [b"", b"null", b'{"HostConfig":5}', b'{"NetworkingConfig":[]}', b"{"]
)
def test_a_request_that_docker_refuses_stays_as_it_is(body):
    assert rewrite.without_network(body) == body


@given(create_bodies.bodies(["web"]))
def test_docker_reads_the_same_as_before_but_for_the_network(body):
    before = go_json.create(body, old=True)
    after = go_json.create(rewrite.without_network(body), old=True)
    if before and after:
        assert after == create_bodies.without_network(before)


@given(create_bodies.bodies(["web"]))
def test_a_newer_docker_reads_the_same_too(body):
    before = go_json.create(body, old=False)
    after = go_json.create(rewrite.without_network(body), old=False)
    if before and after and before.has_host:
        assert after == create_bodies.without_network(before)
    elif before and after:
        # What an older engine reads at the top has become the host's configuration.
        expected = create_bodies.without_network(before)
        assert (after.config, after.networking) == (expected.config, expected.networking)
        assert after.host["NetworkMode"] == "none"


@given(create_bodies.bodies(["web"]))
def test_a_wish_is_what_docker_would_give_the_container_as_environment(body):
    understood = go_json.create(body, old=True)
    if understood is None:
        _wish_or_refusal(body)
        return
    asked = _read(understood.config.get("Env", []))
    published = understood.host.get("PortBindings") or understood.host.get("PublishAllPorts")
    if isinstance(asked, Wish) and published:
        assert isinstance(_wish_or_refusal(body), InvalidValue)
    else:
        assert str(_wish_or_refusal(body)) == str(asked)


def _read(environment: list[str]) -> Wish | InvalidValue | None:
    try:
        return wish.parse(environment)
    except InvalidValue as error:
        return error


def _wish_or_refusal(body: bytes) -> Wish | InvalidValue | None:
    try:
        return rewrite.wish_of_create(body)
    except InvalidValue as error:
        return error


# Docker's answers.

NONE = {
    "IPAMConfig": None,
    "Links": None,
    "Aliases": None,
    "MacAddress": "",
    "DriverOpts": None,
    "GwPriority": 0,
    "NetworkID": "abc",
    "EndpointID": "def",
    "Gateway": "",
    "IPAddress": "",
    "IPPrefixLen": 0,
    "IPv6Gateway": "",
    "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0,
    "DNSNames": None,
}
LEGACY = {
    "SecondaryIPAddresses": None,
    "SecondaryIPv6Addresses": None,
    "EndpointID": "",
    "Gateway": "",
    "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0,
    "IPAddress": "",
    "IPPrefixLen": 0,
    "IPv6Gateway": "",
    "MacAddress": "",
}
BRIDGE = {**NONE, "IPAddress": "172.17.0.2", "IPPrefixLen": 16, "Gateway": "172.17.0.1"}
ON_BRIDGE = {
    **LEGACY,
    "IPAddress": "172.17.0.2",
    "IPPrefixLen": 16,
    "Gateway": "172.17.0.1",
    "MacAddress": "02:42:ac:11:00:02",
}


def container(network_settings: object) -> bytes:
    body = {"Id": ID, "Name": "/web", "NetworkSettings": network_settings, "Mounts": []}
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def inspected(settings: object, version: rewrite.ApiVersion, found: Endpoint) -> dict[str, Any]:
    body = rewrite.inspected(container(settings), version, finding(found))
    assert body.endswith(b"}\n")
    shown: dict[str, Any] = json.loads(body)["NetworkSettings"]
    return shown


def test_our_network_takes_the_place_of_none_in_the_shape_of_this_version():
    found = endpoint("10.65.0.1", "fd80::1", ipv6_gateway="fd80::ff")
    shown = inspected({"Ports": {}, "Networks": {"none": NONE}}, (1, 52), found)
    assert shown == {
        "Ports": {},
        "Networks": {
            "calico": {
                **NONE,
                "Gateway": "172.17.8.101",
                "IPAddress": "10.65.0.1",
                "IPPrefixLen": 32,
                "IPv6Gateway": "fd80::ff",
                "GlobalIPv6Address": "fd80::1",
                "GlobalIPv6PrefixLen": 128,
                "MacAddress": MAC,
            }
        },
    }


def test_an_endpoint_with_one_family_says_nothing_of_the_other():
    shown = inspected({"Networks": {"none": NONE}}, (1, 52), endpoint("fd80::1", mac=None))
    assert shown["Networks"]["calico"] == {
        **NONE,
        "Gateway": "172.17.8.101",
        "GlobalIPv6Address": "fd80::1",
        "GlobalIPv6PrefixLen": 128,
    }


def test_beside_the_bridge_both_are_there_in_order():
    both = {"bridge": BRIDGE, "lan": NONE}
    shown = inspected({**ON_BRIDGE, "Networks": both}, (1, 41), endpoint("10.65.0.1"))
    assert list(shown["Networks"]) == ["bridge", "calico", "lan"]
    assert shown["Networks"]["bridge"] == BRIDGE
    assert shown["Networks"]["calico"]["IPAddress"] == "10.65.0.1"
    assert shown["Networks"]["calico"]["NetworkID"] == ""


@pytest.mark.parametrize("version", [(1, 12), (1, 41), (1, 51), None])
def test_clients_of_an_older_api_find_the_address_directly(version):
    found = endpoint("10.65.0.1", "fd80::1")
    shown = inspected({**LEGACY, "Networks": {"none": NONE}}, version, found)
    del shown["Networks"]
    assert shown == {
        **LEGACY,
        "Gateway": "172.17.8.101",
        "IPAddress": "10.65.0.1",
        "IPPrefixLen": 32,
        "GlobalIPv6Address": "fd80::1",
        "GlobalIPv6PrefixLen": 128,
        "MacAddress": MAC,
    }


@pytest.mark.parametrize("version", [(1, 52), (1, 60), None])
def test_clients_of_a_newer_api_get_no_fields_that_docker_has_dropped(version):
    shown = inspected({"Ports": {}, "Networks": {"none": NONE}}, version, endpoint("10.65.0.1"))
    assert set(shown) == {"Ports", "Networks"}


def test_an_api_without_networks_gets_none():
    shown = inspected(LEGACY, (1, 20), endpoint("10.65.0.1"))
    assert shown["IPAddress"] == "10.65.0.1"
    assert "Networks" not in shown


def test_further_addresses_are_dockers_secondary_ones():
    found = endpoint("10.65.0.1", "fd80::1", "10.65.0.2", "fd80::2")
    shown = inspected({**LEGACY, "Networks": {"none": NONE}}, (1, 41), found)
    assert shown["IPAddress"] == "10.65.0.1"
    assert shown["SecondaryIPAddresses"] == [{"Addr": "10.65.0.2", "PrefixLen": 32}]
    assert shown["SecondaryIPv6Addresses"] == [{"Addr": "fd80::2", "PrefixLen": 128}]


def test_a_container_on_the_bridge_keeps_dockers_address_and_has_ours_as_a_second():
    found = endpoint("10.65.0.1", "fd80::1")
    shown = inspected({**ON_BRIDGE, "Networks": {"bridge": BRIDGE}}, (1, 41), found)
    del shown["Networks"]
    assert shown == {
        **ON_BRIDGE,
        "SecondaryIPAddresses": [{"Addr": "10.65.0.1", "PrefixLen": 32}],
        "GlobalIPv6Address": "fd80::1",
        "GlobalIPv6PrefixLen": 128,
    }


@pytest.mark.parametrize("networks", [None, {}])
def test_a_container_without_networks_has_ours(networks):
    shown = inspected({"Networks": networks}, (1, 52), endpoint("10.65.0.1"))
    assert shown["Networks"]["calico"]["IPAddress"] == "10.65.0.1"
    assert shown["Networks"]["calico"]["Aliases"] is None


def test_a_container_without_network_settings_has_ours():
    assert inspected(None, (1, 41), endpoint("10.65.0.1"))["IPAddress"] == "10.65.0.1"


def test_the_rest_of_an_answer_stays_byte_for_byte():
    before = b'{"Id":"%s","Big":12345678901234567890123,"Cmd":["\\u003c\xff"],' % ID.encode()
    body = before + b'"NetworkSettings":{"Bridge":"","Networks":{"none":{}}},"Nan":1.50}\n'
    shown = rewrite.inspected(body, (1, 52), finding(endpoint("10.65.0.1")))
    assert shown.startswith(before + b'"NetworkSettings":{"Bridge":"","Networks":{"calico":{')
    assert shown.endswith(b'}}},"Nan":1.50}\n')


def test_a_container_without_endpoint_gives_the_same_bytes():
    for body in (
        container({"Networks": {}}),
        b'{"Id":5}',
        b"{}",
        b"[]",
        b"",
        b'{"Id":"x"',
        b"\xff",
    ):
        assert rewrite.inspected(body, None, lambda _: None) is body
    listing = b"[%s]" % container({"Networks": {}})
    for body in (listing, b"[5,null]", b"[]", b"{}", b"", b"[", b"\xff"):
        assert rewrite.listed(body, None, lambda _: None) is body


def test_an_answer_that_cannot_be_read_gives_the_same_bytes():
    found = finding(endpoint("10.65.0.1"))
    deep = b"[" * 50_000
    for body in (b'{"Id":"%s"' % ID.encode(), b'{"A":%s' % deep, container(5), container([])):
        assert rewrite.inspected(body, None, found) is body
    for body in (b'[{"Id":"%s"}' % ID.encode(), deep, b"[%s]" % container(5)):
        assert rewrite.listed(body, None, found) is body


def test_a_list_shows_the_network_of_our_containers_and_leaves_the_others():
    other = b'{"Id":"5e", "NetworkSettings":{"Networks":{"none":{}}}}'
    ours = container({"Networks": {"none": NONE}})
    body = b"[%s , %s,%s]\n" % (other, ours, other)
    shown = rewrite.listed(body, (1, 41), finding(endpoint("10.65.0.1", "10.65.0.2")))
    assert shown.startswith(b"[%s , {" % other)
    assert shown.endswith(b",%s]\n" % other)
    networks = json.loads(shown)[1]["NetworkSettings"]["Networks"]
    assert set(networks) == {"calico"}
    assert networks["calico"]["IPAddress"] == "10.65.0.1"
    assert set(json.loads(shown)[1]["NetworkSettings"]) == {"Networks"}


# What clients of long ago send with a start request.


@pytest.mark.parametrize(
    ("body", "sets"),
    [
        (b'{"NetworkMode":"host"}', True),
        (b'{"hostconfig":{"Binds":[]}}', True),
        (b'{"HostConfig":{}}', True),
        (b'{"HostConfig":null}', False),
        (b'{"Image":"web","Env":["CALICO_IP=auto"]}', False),
        (b"{}", False),
        (b"", False),
        (b'{"NetworkMode":', False),
    ],
)
def test_a_host_config_in_a_start_request_is_seen_where_docker_sees_it(body, sets):
    assert rewrite.sets_host_config(body) is sets


def test_a_host_config_at_start_keeps_all_but_its_network():
    body = b'{"Binds":["a:b"],"NetworkMode":"host","Links":["db:db"]}'
    host = json.loads(rewrite.start_without_network(body))["HostConfig"]
    assert host == {"Binds": ["a:b"], "NetworkMode": "none"}


def test_ports_that_are_published_at_start_are_refused():
    with pytest.raises(InvalidValue, match="published ports '80/tcp'"):
        rewrite.start_without_network(b'{"PortBindings":{"80/tcp":[{"HostPort":"80"}]}}')


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"Container":"web","EndpointConfig":{}}', "web"),
        (b'{"container":"web"}', "web"),
        (b'{"Container":"db","CONTAINER":"web"}', "web"),
        (b'{"Container":null}', ""),
        (b"{}", ""),
        (b"[]", ""),
        (b"\xff{", ""),
    ],
)
def test_who_joins_a_network_is_read_as_docker_reads_it(body, name):
    assert rewrite.container_that_joins(body) == name
