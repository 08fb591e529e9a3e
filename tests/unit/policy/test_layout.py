"""The part of the table that is the same on every host."""

import itertools

import pytest
from netaddr import IPAddress

from calico_ctl.policy import layout


def test_chains_that_are_jumped_to_exist():
    chains = layout.static_chains() | {layout.TO_HOST_CHAIN: layout.to_host_chain("RETURN")}
    for name, chain in chains.items():
        for rule in chain.rules:
            words = rule.replace(",", " ").split()
            for verb, target in itertools.pairwise(words):
                if verb in {"jump", "goto"}:
                    assert target in chains, f"{name}: {rule}"


def test_every_chain_of_counted_drops_ends_in_a_drop():
    chains = layout.static_chains()
    assert all(chains[name].rules[-1] == "counter drop" for name in ("drop-from", "drop-to"))
    assert chains["drop-spoofed"].rules[-1] == "counter drop"


@pytest.mark.parametrize(("setting", "action"), [("return", "RETURN"), ("x", "DROP"), ("", "DROP")])
def test_a_setting_is_read_in_any_case_and_closes_if_it_means_nothing(setting: str, action: str):
    assert layout.to_host_action(setting) == action
    assert layout.is_to_host_action(setting) is (setting == "return")


def test_static_sets_are_empty_but_for_what_never_changes():
    filled = {name for name, each in layout.static_sets().items() if each.elements}
    assert filled == {"tcp-or-udp"}


def test_the_sets_of_hosts_are_those_that_the_chains_of_tunnels_look_up():
    sets = layout.host_sets([IPAddress("10.0.0.1"), IPAddress("fd00::1"), IPAddress("10.0.0.1")])
    assert {name: each.elements for name, each in sets.items()} == {
        "hosts4": {"10.0.0.1"},
        "hosts6": {"fd00::1"},
    }
    words = {
        word.removeprefix("@")
        for chain in layout.tunnel_chains().values()
        for rule in chain.rules
        for word in rule.split()
        if word.startswith("@")
    }
    assert words == sets.keys()
