"""Changes of links wake whoever waits for them."""

import socket

from calico_ctl.dataplane import links
from tests.support.netns import private_netns


def test_a_new_link_is_noticed_and_quiet_is_quiet() -> None:
    with private_netns() as namespace, namespace.entered(), links.open_watch() as watch:
        assert not links.wait(watch, 0.05)
        namespace.run(["ip", "link", "add", "cali1", "type", "veth", "peer", "name", "other"])
        assert links.wait(watch, 2)


def test_more_changes_than_the_kernel_keeps_count_as_one() -> None:
    with private_netns() as namespace, namespace.entered(), links.open_watch() as watch:
        watch.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        names = [f"dummy{number}" for number in range(20)]
        script = "".join(f"link add {name} type veth\n" for name in names)
        namespace.run(["ip", "-batch", "-"], stdin=script)
        assert links.wait(watch, 2)
