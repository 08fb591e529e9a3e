import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from netaddr import IPNetwork

from calico_ctl.errors import InvalidValue
from calico_ctl.ipam import handle
from calico_ctl.ipam.handle import Handle

FIRST, SECOND = IPNetwork("10.0.0.0/26"), IPNetwork("fd80::40/122")


def test_the_json_is_the_historical_one() -> None:
    written = handle.encode(Handle("web", {SECOND: 1, FIRST: 2}))
    assert json.loads(written) == {"id": "web", "block": {"10.0.0.0/26": 2, "fd80::40/122": 1}}


def test_what_was_written_is_read() -> None:
    web = Handle("web", {FIRST: 2, SECOND: 1})
    assert handle.decode("web", handle.encode(web)) == web


def test_a_block_without_addresses_goes() -> None:
    web = Handle("web", {FIRST: 2, SECOND: 1})
    assert web.with_count(FIRST, 0).counts == {SECOND: 1}
    assert web.with_count(FIRST, 3).counts == {FIRST: 3, SECOND: 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"id": "db", "block": {}}',
        '{"id": "web"}',
        '{"id": "web", "block": []}',
        '{"id": "web", "block": {"10.0.0.0/26": 0}}',
        '{"id": "web", "block": {"10.0.0.0/26": true}}',
        '{"id": "web", "block": {"10.0.0.0/26": "1"}}',
        '{"id": "web", "block": {"here": 1}}',
        "[" * 100_000,
    ],
)
def test_what_is_no_handle_of_the_owner_is_refused(text) -> None:
    with pytest.raises(InvalidValue):
        handle.decode("web", text)


@settings(max_examples=30, deadline=None)
@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.dictionaries(st.text(), x)))
def test_nothing_makes_it_fall_over(value) -> None:
    try:
        handle.decode("web", json.dumps({"id": "web", "block": value}))
    except InvalidValue:
        return
    assert value == {}
