"""What a kernel has counted since its rules were written."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Count:
    """Packets, and the bytes in them."""

    packets: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Drops:
    """Packets of one interface that were dropped: by policy, from it or to it; as spoofed."""

    sent: int = 0
    received: int = 0
    spoofed: int = 0
