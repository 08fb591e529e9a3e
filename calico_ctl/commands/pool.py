"""Say which addresses containers may have.

Usage:
  calicoctl pool add <CIDRS>... [--ipip] [--nat-outgoing]
  calicoctl pool remove <CIDRS>...
  calicoctl pool range add <START_IP> <END_IP> [--ipip] [--nat-outgoing]
  calicoctl pool show [--ipv4 | --ipv6]

Options:
  --ipip          Carry packets between hosts in IP-in-IP; IPv4 only.
  --nat-outgoing  Give packets to outside all pools the address of their host.
  --ipv4          Show IPv4 pools only.
  --ipv6          Show IPv6 pools only.
  -h --help       Show this text.

Examples:
  calicoctl pool add 10.65.0.0/16 --nat-outgoing
  calicoctl pool add 10.66.0.0/16 fd80:66::/64
  calicoctl pool range add 172.24.0.0 172.24.25.255
  calicoctl pool show --ipv4
  calicoctl pool remove 10.66.0.0/16
"""

from collections.abc import Sequence

from netaddr import IPNetwork, iprange_to_cidrs

from calico_ctl import usage
from calico_ctl.commands import tables
from calico_ctl.console import Console
from calico_ctl.datastore import config, endpoints, pools
from calico_ctl.errors import AlreadyExists, Conflict, ExitCode, InvalidValue, NotFound
from calico_ctl.model import address, keys
from calico_ctl.model.address import FAMILIES
from calico_ctl.model.pool import Pool
from calico_ctl.usage import Words
from calico_ctl.workload.platform import Platform

_SHOW_HINT = "`calicoctl pool show` lists the pools"


def run(argv: Sequence[str], platform: Platform, console: Console) -> ExitCode:
    """Carry out one of the pool commands."""
    words = usage.parse(__doc__, argv)
    if words.flag("show"):
        _show(words, platform, console)
    elif words.flag("remove"):
        _remove(_cidrs(words), platform, console)
    elif words.flag("range"):
        _add(words, _range(words), platform)
    else:
        _add(words, _cidrs(words), platform)
    return ExitCode.OK


def _add(words: Words, cidrs: list[IPNetwork], platform: Platform) -> None:
    """Check everything, also against each other, before the first is written."""
    wanted = [
        Pool(cidr, ipip=words.flag("--ipip"), masquerade=words.flag("--nat-outgoing"))
        for cidr in cidrs
    ]
    present = pools.all(platform.store)
    for at, pool in enumerate(wanted):
        _check(pool, [*present, *wanted[:at]])
    for pool in wanted:
        pools.create(platform.store, pool)
    if words.flag("--ipip"):
        config.set(platform.store, "IpInIpEnabled", "true")


def _check(pool: Pool, others: list[Pool]) -> None:
    if pool.ipip and pool.family != 4:
        raise InvalidValue("CIDR for --ipip", str(pool.cidr), "IPv4 pools only")
    for other in others:
        if other.cidr == pool.cidr and _options(other) != _options(pool):
            raise AlreadyExists(
                f"pool {pool.cidr} exists already with other options",
                hint=f"to change them, remove it first: `calicoctl pool remove {pool.cidr}`",
            )
        if other.cidr != pool.cidr and other.overlaps(pool.cidr):
            raise Conflict(f"pool {pool.cidr} overlaps pool {other.cidr}", _SHOW_HINT)


def _remove(cidrs: list[IPNetwork], platform: Platform, console: Console) -> None:
    present, problems = pools.read(platform.store)
    # A pool whose value nobody can read has a key all the same, and has to be removable.
    known = {keys.pool(pool.cidr) for pool in present} | {problem.key for problem in problems}
    missing = [str(cidr) for cidr in cidrs if keys.pool(cidr) not in known]
    if missing:
        raise NotFound(f"{', '.join(missing)}: no such pool; nothing was removed", _SHOW_HINT)
    for cidr in cidrs:
        pools.remove(platform.store, cidr)
    _warn_of_addresses_in_use(cidrs, platform, console)


def _warn_of_addresses_in_use(cidrs: list[IPNetwork], platform: Platform, console: Console) -> None:
    present, _ = endpoints.all(platform.store)
    for cidr in cidrs:
        removed = Pool(cidr)
        count = sum(removed.contains(ip) for each in present for ip in each.addresses)
        if count:
            console.say(
                f"warning: addresses of {cidr} are still in use ({count}): other hosts lose their"
                " way to them"
            )


def _show(words: Words, platform: Platform, console: Console) -> None:
    present, problems = pools.read(platform.store)
    tables.warn(console, problems)
    only = {4: words.flag("--ipv4"), 6: words.flag("--ipv6")}
    for family in FAMILIES:
        if any(only.values()) and not only[family]:
            continue
        ours = sorted((pool for pool in present if pool.family == family), key=_key)
        console.table(
            [f"IPv{family} CIDR", "Options"], [(str(pool.cidr), _options(pool)) for pool in ours]
        )


def _key(pool: Pool) -> list[tuple[int, int, str]]:
    return tables.natural(str(pool.cidr))


def _options(pool: Pool) -> str:
    options = {"ipip": pool.ipip, "nat-outgoing": pool.masquerade}
    return ",".join(name for name, is_on in options.items() if is_on)


def _cidrs(words: Words) -> list[IPNetwork]:
    parsed = [address.parse_network(text) for text in words.texts("<CIDRS>")]
    return list(dict.fromkeys(parsed))


def _range(words: Words) -> list[IPNetwork]:
    start = address.parse_address(words.text("<START_IP>"), "start address")
    end = address.parse_address(words.text("<END_IP>"), "end address")
    if start.version != end.version or start >= end:
        raise InvalidValue("end address", str(end), f"one of its family greater than {start}")
    return list(iprange_to_cidrs(start, end))
