"""The kernel knows which addresses are this machine's own."""

import pytest
from netaddr import IPAddress

from calico_ctl.host import own_address

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("text", ["10.98.0.1", "fd98::1"])
def test_an_address_is_ours_while_some_interface_has_it(private_netns, text):
    ip = IPAddress(text)
    assert own_address.is_ours(ip) is False
    private_netns.run(["ip", "addr", "add", text, "dev", "lo", "nodad"])
    assert own_address.is_ours(ip) is True
