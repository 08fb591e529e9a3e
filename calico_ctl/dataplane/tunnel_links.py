"""The devices of tunnels: made as they shall be, mended where they are not, and removed.

A VXLAN device learns nothing and floods nothing: who is where is told by `tunnel`. It has no
address, so that nobody takes one of its own for the host's. `tunl0` belongs to the kernel's module,
which makes it by itself; it is only brought up, and taken down.
"""

import json
from collections.abc import Iterable, Mapping

from calico_ctl.bgp.encapsulation import Tunnel
from calico_ctl.dataplane.network import link_exists
from calico_ctl.errors import CalicoError, CommandFailed
from calico_ctl.host import command, kernel
from calico_ctl.model.encapsulation import DEVICES, VXLAN_ID, VXLAN_PORT, Way

_Described = Mapping[str, object]

_OURS_ALONE = frozenset(name for (way, _), name in DEVICES.items() if way is Way.VXLAN)


def ensure(tunnel: Tunnel) -> bool:
    """Make the device as it shall be; say whether anything had to be done.

    Raises CommandFailed, for example where the kernel has no tunnels of that kind.
    """
    found = _described(tunnel.device)
    if found is not None and _is_another(found, tunnel):
        _ip([f"link delete dev {tunnel.device}"])
        found = None
    made = found is None
    if made:
        _make(tunnel)
        found = _described(tunnel.device)
    return bool(_mend(found or {}, tunnel)) or made


def remove(names: Iterable[str]) -> None:
    """Remove devices; those that are not there are no error."""
    for name in names:
        if not link_exists(name):
            continue
        try:
            _ip([f"link delete dev {name}" if name in _OURS_ALONE else f"link set dev {name} down"])
        except CalicoError:
            if link_exists(name):
                raise


def present() -> list[str]:
    """Return the devices that are there and nobody's but ours."""
    return [name for name in sorted(_OURS_ALONE) if link_exists(name)]


def _make(tunnel: Tunnel) -> None:
    if tunnel.way is Way.IPIP:
        try:
            _ip([f"link add {tunnel.device} type ipip"])
        except CommandFailed as error:
            # The module, loaded for this, makes the device by itself.
            if not link_exists(tunnel.device):
                raise CommandFailed(
                    f"this kernel makes no IP-in-IP tunnels: {error.message}",
                    hint="use VXLAN for the pool: calicoctl pool add <CIDR> --vxlan",
                ) from error
        return
    _ip(
        [
            f"link add {tunnel.device} address {tunnel.mac} type vxlan id {VXLAN_ID}"
            f" local {tunnel.local} dstport {VXLAN_PORT} nolearning",
        ]
    )


def _mend(found: _Described, tunnel: Tunnel) -> list[str]:
    """Set what is not as it shall be; return what was done."""
    device, lines = tunnel.device, []
    if found.get("mtu") != tunnel.mtu:
        lines.append(f"link set dev {device} mtu {tunnel.mtu}")
    if tunnel.mac and found.get("address") != tunnel.mac:
        lines.append(f"link set dev {device} address {tunnel.mac}")
    if found.get("inet6_addr_gen_mode") != "none" and tunnel.mac:
        lines.append(f"link set dev {device} addrgenmode none")
    flags = found.get("flags")
    if not isinstance(flags, list) or "UP" not in flags:
        lines.append(f"link set dev {device} up")
    # Loose: who may send into the tunnel is said by the rules, and an answer may go another way.
    kernel.write_setting(f"net/ipv4/conf/{device}/rp_filter", "2")
    if tunnel.family == 6:
        kernel.write_setting(f"net/ipv6/conf/{device}/disable_ipv6", "0")
    _ip(lines)
    return lines


def _is_another(found: _Described, tunnel: Tunnel) -> bool:
    """Say whether a device of that name is of another kind, or has what cannot be changed."""
    if tunnel.way is Way.IPIP:
        return False
    info = found.get("linkinfo")
    if not isinstance(info, dict) or info.get("info_kind") != "vxlan":
        return True
    data = info["info_data"]
    local = data.get("local" if tunnel.family == 4 else "local6")
    return (data.get("id"), data.get("port"), local, data.get("learning")) != (
        VXLAN_ID,
        VXLAN_PORT,
        str(tunnel.local),
        False,
    )


def _described(device: str) -> _Described | None:
    if not link_exists(device):
        return None
    listed: list[_Described] = json.loads(
        command.run(["ip", "-j", "-d", "link", "show", "dev", device])
    )
    return listed[0]


def _ip(lines: Iterable[str]) -> None:
    script = "".join(f"{line}\n" for line in lines)
    if script:
        command.run(["ip", "-batch", "-"], stdin=script)
