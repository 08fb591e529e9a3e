"""What this kernel can do, tried on it: everything that the other tests need, at least."""

import pytest

from calico_ctl.diagnostics import capabilities, check
from calico_ctl.diagnostics.check import Outcome, Result
from calico_ctl.errors import CalicoError
from calico_ctl.host import command, kernel
from calico_ctl.policy.ruleset import Chain, Ruleset, Set
from tests.support.netns import NetNs


def results() -> dict[str, Result]:
    return {each.check: each for each in check.run(capabilities.checks())}


def test_a_kernel_that_passes_the_other_tests_passes_these_and_nothing_is_left(
    private_netns: NetNs,
):
    kernel.write_setting("net/ipv4/ip_forward", "0")
    before = command.run(["ip", "-brief", "link"])
    found = results()
    assert {name: found[name].complaint for name in ("nftables", "conntrack", "veth")} == {
        "nftables": None,
        "conntrack": None,
        "veth": None,
    }
    # A kernel without tunnels or IPv6 can still be a node's.
    for name in ("routing", "vxlan", "ipip"):
        assert found[name].outcome in {Outcome.OK, Outcome.WARNING}, found[name]
    assert command.run(["ip", "-brief", "link"]) == before
    assert "calico" not in command.run(["nft", "list", "tables"])
    assert kernel.read_setting("net/ipv4/ip_forward") == "0"


def test_the_sample_uses_everything_that_a_policy_can_use():
    table = capabilities.sample_table()
    assert table.maps
    assert {"t4-sample", "src4", "pools4"} <= table.sets.keys()
    assert any(each.interval for each in table.sets.values())
    assert any("masquerade" in rule for chain in table.chains.values() for rule in chain.rules)


def test_a_kernel_that_cannot_hold_the_table_is_told_with_its_own_words(monkeypatch):
    broken = Ruleset({"a": Chain(("ip saddr @b accept",))}, {"b": Set("ipv6_addr")})
    monkeypatch.setattr(capabilities, "sample_table", lambda: broken)
    complaint = results()["nftables"].complaint
    assert complaint is not None
    assert complaint.grave
    assert "this kernel cannot hold the policy's table: " in complaint.what
    assert "CONFIG_NF_TABLES" in complaint.hint


@pytest.mark.parametrize(("kind", "grave"), [("veth", True), ("vxlan", False), ("ipip", False)])
def test_links_that_the_kernel_does_not_make_are_named(monkeypatch, kind, grave):
    monkeypatch.setitem(capabilities._LINKS, kind, "type nosuchkind")
    complaint = results()[kind].complaint
    assert complaint is not None
    assert complaint.grave is grave
    assert f"no links of type {kind}" in complaint.what
    assert f"modprobe {kind}" in complaint.hint


def test_fixing_loads_the_module_and_says_if_that_does_not_help(monkeypatch):
    asked: list[list[str]] = []

    def load(argv: list[str]) -> str:
        asked.append(argv)
        raise CalicoError("there is no such module")

    real = command.run
    monkeypatch.setitem(capabilities._LINKS, "ipip", "type nosuchkind")
    monkeypatch.setattr(
        command,
        "run",
        lambda argv, **options: load(argv) if argv[0] == "modprobe" else real(argv, **options),
    )
    chosen = [each for each in capabilities.checks() if each.name == "ipip"]
    (found,) = check.run(chosen, fix=True)
    assert asked == [["modprobe", "ipip"]]
    assert found.outcome is Outcome.WARNING
    assert found.complaint is not None
    assert "--fix did not help: there is no such module" in found.complaint.what


def test_a_kernel_that_does_not_route_is_told(monkeypatch):
    monkeypatch.setattr(kernel, "write_setting", lambda name, value: "ipv6" in name)
    complaint = results()["routing"].complaint
    assert complaint is not None
    assert complaint.grave
    monkeypatch.setattr(kernel, "write_setting", lambda name, value: "ipv4" in name)
    complaint = results()["routing"].complaint
    assert complaint is not None
    assert not complaint.grave
