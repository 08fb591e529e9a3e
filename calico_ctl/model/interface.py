"""The pair of network devices that connects a workload with its host."""

from typing import NamedTuple

from netaddr import IPAddress


class Interface(NamedTuple):
    """A veth pair: `host_name` outside; `name`, with `mac`, in the namespace whose file is `netns`.

    `gateways` are next hops, at most one a family; the default route of each family goes there.
    `overhead` is how many bytes tunnels add to its packets at most.
    """

    host_name: str
    netns: str
    name: str
    mac: str
    addresses: tuple[IPAddress, ...]
    gateways: tuple[IPAddress, ...]
    overhead: int = 0
