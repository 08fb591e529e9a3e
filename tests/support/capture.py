"""What passes by an interface: every frame's addresses, and whether a VXLAN carries it."""

import socket
import struct
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Self

from tests.support.netns import NetNs

_EVERY_FRAME = 0x0003
_ETHERNET_LENGTH = 14
_IPV4, _IPV6 = 0x0800, 0x86DD
_UDP, _VXLAN_PORT = 17, 4789
_UDP_AND_VXLAN_LENGTH = 16


@dataclass(frozen=True)
class Passed:
    """A packet from `source` to `target`; `carriers` are the hosts at the ends of its tunnel."""

    source: str
    target: str
    carriers: tuple[str, str] | None = None


class Capture:
    """Listens at an interface of a namespace from now on."""

    def __init__(self, namespace: NetNs, interface: str) -> None:
        with namespace.entered():
            # It hears nothing before it is bound: of other interfaces, not a frame.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.bind((interface, _EVERY_FRAME))
        self._socket.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def passed(self) -> list[Passed]:
        """Take what passed since the last call, in both directions."""
        found: list[Passed] = []
        while True:
            try:
                frame = self._socket.recv(65535)
            except BlockingIOError:
                return found
            packet = _packet(frame)
            if packet is not None:
                found.append(packet)


def _packet(frame: bytes) -> Passed | None:
    outer = _addresses(frame)
    if outer is None:
        return None
    source, target, protocol, body = outer
    if protocol == _UDP and struct.unpack("!H", body[2:4])[0] == _VXLAN_PORT:
        inner = _addresses(body[_UDP_AND_VXLAN_LENGTH:])
        return inner and Passed(inner[0], inner[1], (source, target))
    return Passed(source, target)


def _addresses(frame: bytes) -> tuple[str, str, int, bytes] | None:
    """Read a frame's source, target and protocol, and what is after its header."""
    kind = struct.unpack("!H", frame[12:14])[0]
    packet = frame[_ETHERNET_LENGTH:]
    if kind == _IPV4:
        return _text(packet[12:16]), _text(packet[16:20]), packet[9], packet[(packet[0] & 15) * 4 :]
    if kind == _IPV6:
        return _text(packet[8:24]), _text(packet[24:40]), packet[6], packet[40:]
    return None


def _text(address: bytes) -> str:
    return str(ip_address(address))
