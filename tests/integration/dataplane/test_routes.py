"""Routes that BIRD left in the kernel."""

from calico_ctl.dataplane import routes
from tests.support.netns import private_netns


def test_only_birds_routes_are_removed() -> None:
    with private_netns() as host, host.entered():
        for target, protocol in (("10.0.0.1", "12"), ("10.0.0.2", "80"), ("fd80::1", "12")):
            host.run(["ip", "route", "add", target, "dev", "lo", "proto", protocol])
        routes.remove_imported()
        routes.remove_imported()
        assert host.run(["ip", "route"]).out.split()[0] == "10.0.0.2"
        assert "fd80::1" not in host.run(["ip", "-6", "route"]).out
