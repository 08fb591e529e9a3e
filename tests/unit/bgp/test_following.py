import json

from calico_ctl.bgp.following import Following

NODE = "/calico/bgp/v1/host/h1/ip_addr_v4"
AFFINITY = "/calico/ipam/v2/host/h1/ipv4/block/10.65.0.0-26"
BLOCK = "/calico/ipam/v2/assignment/ipv4/block/10.65.0.0-26"
OTHERS = "/calico/ipam/v2/assignment/ipv4/block/10.65.0.64-26"


def block(host: str, *owners: str) -> str:
    return json.dumps({"affinity": f"host:{host}", "attributes": [*owners]})


def test_what_matters_is_kept_whatever_its_order():
    values = {BLOCK: block("h1"), NODE: "10.0.0.1", AFFINITY: "", OTHERS: block("h2")}
    values["/calico/policy/profile/web/tags"] = "[]"
    for each in (values, dict(reversed(values.items()))):
        assert set(Following("h1", each).values) == {NODE, AFFINITY, BLOCK}


def test_a_change_is_one_only_if_it_matters():
    following = Following("h1", {NODE: "10.0.0.1"})
    assert not following.fold(NODE, "10.0.0.1")
    assert following.fold(NODE, "10.0.0.2")
    assert not following.fold("/calico/policy/profile/web/tags", "[]")
    assert following.fold(NODE, None)
    assert not following.fold(NODE, None)
    assert following.values == {}


def test_of_an_own_block_only_whose_it_is_matters():
    following = Following("h1", {AFFINITY: ""})
    assert following.fold(BLOCK, block("h1"))
    assert not following.fold(BLOCK, block("h1", "an endpoint", "another one"))
    assert following.fold(BLOCK, block("h2", "an endpoint"))
    assert following.fold(BLOCK, "junk")
    assert not following.fold(OTHERS, block("h1"))


def test_a_block_that_is_claimed_no_more_is_forgotten():
    following = Following("h1", {AFFINITY: "", BLOCK: block("h2")})
    assert following.fold(AFFINITY, None)
    assert following.values == {}
