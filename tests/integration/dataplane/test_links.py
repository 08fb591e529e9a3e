"""Changes of links wake whoever waits for them."""

from calico_ctl.dataplane import links
from tests.support.netns import private_netns


def test_a_new_link_is_noticed_and_quiet_is_quiet() -> None:
    with private_netns() as namespace, namespace.entered(), links.open_watch() as watch:
        assert not links.wait(watch, 0.05)
        namespace.run(["ip", "link", "add", "cali1", "type", "veth", "peer", "name", "other"])
        assert links.wait(watch, 2)
