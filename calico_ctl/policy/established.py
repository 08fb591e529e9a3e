"""Which established connections the present policy would not let begin.

What the rules say about a first packet is `verdict`'s; here stands whom to ask about it: the
sender's outbound rules and the receiver's inbound rules, as far as they are endpoints of this host.
The host itself may always reach its containers.
"""

from collections.abc import Collection

from netaddr import IPAddress

from calico_ctl.model import address
from calico_ctl.model.rule import Direction
from calico_ctl.policy import verdict
from calico_ctl.policy.desired import Desired
from calico_ctl.policy.verdict import TCP, UDP, Packet

_DNS = 53
_DHCP = {(68, 67), (546, 547)}


class Judge:
    """One host's policy as it is now. It holds until the next change: make a new one then."""

    def __init__(self, desired: Desired, host: Collection[IPAddress]) -> None:
        """Know the policy, and the host's own addresses."""
        self._desired = desired
        self._host = host
        self._profiles = {
            ip: endpoint.profiles
            for endpoint in desired.enforced.values()
            for ip in endpoint.addresses
        }

    def allows(self, packet: Packet) -> bool:
        """Say whether a connection may begin with this packet."""
        if packet.src in self._host:
            return True
        if packet.dst in self._host and packet.src in self._profiles:
            return self._allows_to_host(packet)
        return self._allows(packet.src, Direction.OUTBOUND, packet) and self._allows(
            packet.dst, Direction.INBOUND, packet
        )

    def _allows_to_host(self, packet: Packet) -> bool:
        # What a container needs of its host whatever the policy: names and addresses.
        if packet.protocol in {TCP, UDP} and packet.dst_port == _DNS:
            return True
        if packet.protocol == UDP and (packet.src_port, packet.dst_port) in _DHCP:
            return True
        if self._desired.to_host == "DROP":
            return False
        return self._allows(packet.src, Direction.OUTBOUND, packet)

    def _allows(self, whose: IPAddress, direction: Direction, packet: Packet) -> bool:
        profiles = self._profiles.get(whose)
        if profiles is None:
            return True
        rules_of = self._desired.snapshot.rules.get
        return verdict.ask(profiles, rules_of, direction, packet, self._carries).allowed

    def _carries(self, tag: str, ip: IPAddress) -> bool:
        return self._desired.tags.carries(tag, str(ip), address.family(ip))
