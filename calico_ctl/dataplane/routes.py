"""The routes that BIRD put into the kernel."""

from calico_ctl.host import command
from calico_ctl.model.address import FAMILIES

_BIRD_PROTOCOL = "12"
"""RTPROT_BIRD of linux/rtnetlink.h; by number, because a slim image may lack the names."""


def remove_imported() -> None:
    """Remove them; BIRD leaves them in place when it ends, so that a restart loses no packet."""
    for family in FAMILIES:
        command.run(["ip", f"-{family}", "route", "flush", "proto", _BIRD_PROTOCOL])
