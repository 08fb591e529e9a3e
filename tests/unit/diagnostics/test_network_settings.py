"""Checks of settings on a /proc/sys that is a folder."""

import json
from pathlib import Path

import pytest
from netaddr import IPAddress

from calico_ctl.diagnostics import check, network_settings
from calico_ctl.diagnostics.check import Outcome, Result
from calico_ctl.host import addresses, command, kernel
from calico_ctl.host.addresses import LocalAddress


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which all is well, with the interfaces eth0 and cali1."""
    monkeypatch.setattr(kernel, "_ROOT", tmp_path)
    links = json.dumps([{"ifname": name} for name in ("lo", "eth0", "cali1")])
    monkeypatch.setattr(command, "run", lambda *_, **__: links)
    values = {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}
    values |= {
        f"net/ipv4/conf/{name}/rp_filter": "1" for name in ("all", "default", "lo", "eth0", "cali1")
    }
    for name, value in values.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return tmp_path


def result(name: str, *, fix: bool = False) -> Result:
    chosen = [each for each in network_settings.checks() if each.name == name]
    (found,) = check.run(chosen, fix=fix)
    return found


@pytest.mark.parametrize("name", ["ip_forward", "forwarding6", "rp_filter"])
def test_all_is_well(settings, name):
    assert result(name).outcome is Outcome.OK


@pytest.mark.parametrize(
    ("name", "setting", "outcome"),
    [
        ("ip_forward", "net/ipv4/ip_forward", Outcome.FAILED),
        ("forwarding6", "net/ipv6/conf/all/forwarding", Outcome.WARNING),
    ],
)
def test_a_machine_that_does_not_forward_is_told_and_can_be_mended(
    settings, name, setting, outcome
):
    (settings / setting).write_text("0\n")
    found = result(name)
    assert found.outcome is outcome
    assert found.complaint is not None
    assert f"{setting.replace('/', '.')} is 0" in found.complaint.what
    assert (settings / setting).read_text() == "0\n"
    assert result(name, fix=True).outcome is Outcome.FIXED
    assert (settings / setting).read_text() == "1"


def test_a_kernel_without_ipv6_is_not_told_twice(settings):
    (settings / "net/ipv6/conf/all/forwarding").unlink()
    assert result("forwarding6").outcome is Outcome.OK


def test_a_loose_filter_is_mended_for_containers_only(settings):
    def value(interface: str) -> str:
        path: Path = settings / f"net/ipv4/conf/{interface}/rp_filter"
        return path.read_text().strip()

    (settings / "net/ipv4/conf/all/rp_filter").write_text("2\n")
    assert result("rp_filter").outcome is Outcome.WARNING
    assert result("rp_filter", fix=True).outcome is Outcome.FIXED
    assert [value(name) for name in ("all", "default", "eth0", "cali1")] == ["0", "2", "2", "1"]


@pytest.mark.parametrize(
    ("mtu", "outcome"), [(1500, Outcome.OK), (9000, Outcome.OK), (1400, Outcome.WARNING)]
)
def test_an_uplink_that_takes_less_than_ethernet_is_told(monkeypatch, mtu, outcome):
    uplink = LocalAddress("eth0", IPAddress("10.0.0.1"))
    monkeypatch.setattr(addresses, "detect_ipv4", lambda: uplink)
    shown = json.dumps([{"ifname": "eth0", "mtu": mtu}])
    monkeypatch.setattr(command, "run", lambda *_, **__: shown)
    found = result("mtu")
    assert found.outcome is outcome
    assert found.complaint is None or "uplink eth0 is 1400" in found.complaint.what


def test_a_machine_without_an_address_of_its_own_is_told(monkeypatch):
    monkeypatch.setattr(addresses, "detect_ipv4", lambda: None)
    assert result("mtu").outcome is Outcome.WARNING
