"""What a word on the command line may call an endpoint."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from netaddr import IPAddress

from calico_ctl.errors import InvalidValue
from calico_ctl.model import codec
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.workload import endpoint_word
from calico_ctl.workload.endpoint_word import EndpointWord

ID = "1d9e9624cdb711e499bf08002737b14f"
CONTAINER = "ab12" * 16
KEY = EndpointKey("host1", "docker", CONTAINER, ID)


def parse(text: str) -> EndpointWord:
    return endpoint_word.parse(text, "endpoint")


def endpoint(*addresses: str) -> Endpoint:
    return Endpoint(
        KEY, State.ACTIVE, "cali1d9e9624cdb", None, (), tuple(map(IPAddress, addresses))
    )


@pytest.mark.parametrize("text", [ID, CONTAINER])
def test_an_id_in_full_is_in_the_key(text) -> None:
    assert parse(text).is_in_key(KEY)
    assert not parse(text[:-1]).is_in_key(KEY)


def test_a_path_is_the_workload_of_a_network_namespace() -> None:
    key = EndpointKey("host1", "namespace", "-run-netns-my_-ns", ID)
    assert parse("/run//netns/my-ns").is_in_key(key)
    assert not parse("/run/netns/my-ns").is_in_key(key._replace(orchestrator="docker"))
    assert not parse("-run-netns-my_-ns").may_name_a_container


@pytest.mark.parametrize("text", ["1d9e", ID, "ab12", CONTAINER[:12]])
def test_four_characters_are_enough_to_begin_an_id(text) -> None:
    assert parse(text).begins_id(KEY)
    assert not parse(text[:3]).begins_id(KEY)
    assert not parse(text[1:]).begins_id(KEY)


def test_a_workload_of_another_orchestrator_has_no_abbreviation() -> None:
    key = KEY._replace(orchestrator="namespace")
    assert parse("1d9e").begins_id(key)
    assert not parse("ab12").begins_id(key)


def test_an_interface_or_an_address_is_in_the_value() -> None:
    both = endpoint("10.0.0.1", "fd80::1")
    assert parse("cali1d9e9624cdb").is_of(both)
    assert not parse("cali1d9e9624cd").is_of(both)
    assert parse("10.0.0.1").is_of(both)
    assert parse("fd80:0::1").is_of(both)
    assert not parse("10.0.0.11").is_of(both)


def test_a_value_that_cannot_say_it_is_not_read() -> None:
    value = '{"name": "cali1d9e9624cdb", "ipv4_nets": ["10.0.0.1/32"], "ipv6_nets": []}'
    assert parse("10.0.0.1").may_be_in_value(value)
    assert not parse("10.0.0.2").may_be_in_value(value)
    assert parse("fd80::1").may_be_in_value(value)
    assert parse("web").may_be_in_value(r'{"name": "\u0077eb"}')


@pytest.mark.parametrize(
    ("text", "may"),
    [
        *[(text, True) for text in ("web", "web-1.x_y", ID[:31])],
        *[(text, False) for text in (ID, CONTAINER, "10.0.0.1", "fd80::1", "wäb", "-rf", "w")],
    ],
)
def test_docker_is_asked_only_for_what_may_be_a_containers_name(text, may) -> None:
    assert parse(text).may_name_a_container is may


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a/b", "../x", "10.0.0.256", "010.0.0.1", "fe80::1%eth0", "/a\0"]
)
def test_what_can_name_no_endpoint_is_refused(text) -> None:
    with pytest.raises(InvalidValue, match="invalid endpoint"):
        parse(text)


@given(st.text(max_size=40) | st.from_regex(r"[A-Za-z0-9_.-]{1,15}", fullmatch=True))
@settings(max_examples=30, deadline=None)
def test_a_value_that_says_the_word_is_worth_reading(text) -> None:
    try:
        word = parse(text)
    except InvalidValue:
        return
    called_so = replace(endpoint("10.0.0.1"), name=text)
    assert word.is_of(called_so) is (word.address is None)
    assert word.may_be_in_value(codec.encode_endpoint(called_so))
