import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calico_ctl.errors import InvalidValue
from calico_ctl.model import address, names


@pytest.mark.parametrize("text", ["web", "A.b_c-9", "-", "...", "x" * 64])
def test_names_of_profiles_and_tags(text: str) -> None:
    assert names.parse_profile_name(text) == text
    assert names.parse_tag(text) == text


@pytest.mark.parametrize("text", ["", ".", "..", "a b", "a/b", "web\n", "x" * 65, "ä", "a,b"])
def test_other_text_is_no_name(text: str) -> None:
    with pytest.raises(InvalidValue, match="invalid profile name"):
        names.parse_profile_name(text)
    with pytest.raises(InvalidValue, match="invalid tag"):
        names.parse_tag(text)


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "eth 1", "x" * 16, "eth1\n", "eth:1"])
def test_what_the_kernel_would_not_take_is_no_interface(text: str) -> None:
    assert names.parse_interface("eth1.10") == "eth1.10"
    with pytest.raises(InvalidValue, match="invalid interface name"):
        names.parse_interface(text)


@given(st.uuids())
def test_what_is_derived_from_an_id_is_valid(uuid) -> None:
    assert len(names.parse_interface(names.host_interface(uuid.hex))) == 15
    assert names.host_interface(uuid.hex).startswith(names.INTERFACE_PREFIX)
    mac = address.parse_mac(names.mac_address(uuid.hex))
    assert int(mac[:2], 16) & 3 == 2
    assert names.parse_endpoint_id(uuid.hex) == uuid.hex


@given(st.lists(st.text(alphabet="/-_a", min_size=1), min_size=2, max_size=2, unique=True))
def test_no_two_namespaces_share_an_id(paths: list[str]) -> None:
    first, second = (names.namespace_workload_id(path) for path in paths)
    assert first != second
    assert re.fullmatch(r"[^/]*", first)


@pytest.mark.parametrize("text", ["web", "w", "9", "a_b.c-d", "c" * 64, "/run/netns/x", "/"])
def test_a_container_is_a_name_or_a_path(text: str) -> None:
    assert names.parse_container(text) == text


@pytest.mark.parametrize("text", ["", "-rf", "_x", "a/b", "../x", "a b", "wëb", "web\n", "/a\0b"])
def test_other_words_are_no_container(text: str) -> None:
    with pytest.raises(InvalidValue, match="invalid container"):
        names.parse_container(text)
