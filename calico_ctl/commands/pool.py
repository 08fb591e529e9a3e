"""Say which addresses containers may have.

Usage:
  calicoctl pool add <CIDRS>... [--ipip | --vxlan] [--cross-subnet] [--nat-outgoing] [--disabled]
  calicoctl pool remove <CIDRS>... [--force]
  calicoctl pool range add <START_IP> <END_IP> [--ipip | --vxlan] [--cross-subnet]
                           [--nat-outgoing] [--disabled]
  calicoctl pool show [--ipv4 | --ipv6] [--output=<FORM>]

A pool that is there is disabled by adding it once more with its options and --disabled, and enabled
by adding it once more without.

Options:
  --ipip           Carry packets between hosts in IP-in-IP; IPv4 only.
  --vxlan          Carry packets between hosts in VXLAN.
  --cross-subnet   Do so only between hosts that are not in one subnet.
  --nat-outgoing   Give packets to outside all pools the address of their host.
  --disabled       Give out no more addresses of it; those in use stay and keep working.
  --force          Remove the pool although addresses of it are in use.
  --ipv4           Show IPv4 pools only.
  --ipv6           Show IPv6 pools only.
  --output=<FORM>  How to show them: table, json, yaml, or name for the CIDRs alone.
  -h --help        Show this text.

Examples:
  calicoctl pool add 10.65.0.0/16 --nat-outgoing
  calicoctl pool add 10.66.0.0/16 fd80:66::/64
  calicoctl pool add 10.67.0.0/16 --vxlan --cross-subnet
  calicoctl pool range add 172.24.0.0 172.24.25.255
  calicoctl pool add 10.65.0.0/16 --nat-outgoing --disabled
  calicoctl pool show --ipv4
  calicoctl pool show --output=json
  calicoctl pool remove 10.66.0.0/16
"""

from collections.abc import Sequence
from contextlib import ExitStack

from netaddr import IPNetwork, iprange_to_cidrs

from calico_ctl import usage
from calico_ctl.commands import output, tables
from calico_ctl.commands.output import Form, Listing
from calico_ctl.console import Console
from calico_ctl.datastore import pools
from calico_ctl.errors import Conflict, ExitCode, InvalidValue, NotFound
from calico_ctl.model import address, keys
from calico_ctl.model import pool as model_pool
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.pool import Pool
from calico_ctl.usage import Words
from calico_ctl.workload.platform import Platform

_SHOW_HINT = "`calicoctl pool show` lists the pools"
_LISTED_HOLDERS = 5


def run(argv: Sequence[str], platform: Platform, console: Console) -> ExitCode:
    """Carry out one of the pool commands."""
    words = usage.parse(__doc__, argv)
    if words.flag("show"):
        _show(words, platform, console)
    elif words.flag("remove"):
        _remove(words, platform, console)
    elif words.flag("range"):
        _add(words, _range(words), platform, console)
    else:
        _add(words, _cidrs(words), platform, console)
    return ExitCode.OK


def _add(words: Words, cidrs: list[IPNetwork], platform: Platform, console: Console) -> None:
    """Check everything, also against each other, before the first is written."""
    wanted = [_wanted(words, cidr) for cidr in cidrs]
    present = pools.all(platform.store)
    for at, pool in enumerate(wanted):
        _require_apart(pool, [*present, *wanted[:at]])
    changed: list[Pool] = []
    # Should somebody else be faster with one of them, none of ours stays.
    with ExitStack() as undo:
        for pool in wanted:
            if pools.create(platform.store, pool):
                undo.callback(platform.store.delete, keys.pool(pool.cidr))
            elif pools.disable(platform.store, pool.cidr, pool.disabled):
                undo.callback(pools.disable, platform.store, pool.cidr, not pool.disabled)
                changed.append(pool)
        undo.pop_all()
    for pool in changed:
        how = "no more addresses" if pool.disabled else "addresses again"
        console.say(f"pool {pool.cidr} gives out {how}")
    for family in dict.fromkeys(pool.family for pool in wanted):
        _warn_of_hosts([pool for pool in wanted if pool.family == family], platform, console)
    if words.flag("--ipip"):
        # Imported here: it brings all of a node's settings, and few pools need one.
        from calico_ctl.datastore import config

        config.set(platform.store, "IpInIpEnabled", "true")


def _warn_of_hosts(family_pools: list[Pool], platform: Platform, console: Console) -> None:
    # Imported here: to show pools it is not needed.
    from calico_ctl.datastore import address_search

    reserved = address_search.reserved(platform.store, family_pools[0].family)
    for cidr in (pool.cidr for pool in family_pools):
        within = (host for number, host in reserved.items() if cidr.first <= number <= cidr.last)
        host = next(filter(None, within), None)
        if host:
            console.say(
                f"warning: pool {cidr} has the address of host {host} in it: containers may get"
                " addresses of other machines there; a network of its own is better"
            )


def _wanted(words: Words, cidr: IPNetwork) -> Pool:
    return model_pool.check(
        Pool(
            cidr,
            ipip=words.flag("--ipip"),
            masquerade=words.flag("--nat-outgoing"),
            vxlan=words.flag("--vxlan"),
            cross_subnet=words.flag("--cross-subnet"),
            disabled=words.flag("--disabled"),
        )
    )


def _require_apart(pool: Pool, others: list[Pool]) -> None:
    for other in others:
        if other.cidr == pool.cidr and other.options != pool.options:
            raise pools.has_other_options(other)
        if other.cidr != pool.cidr and other.overlaps(pool.cidr):
            raise pools.overlap(pool, other)


def _remove(words: Words, platform: Platform, console: Console) -> None:
    cidrs = _cidrs(words)
    present, problems = pools.read(platform.store)
    # A pool whose value nobody can read has a key all the same, and has to be removable.
    known = {keys.pool(pool.cidr) for pool in present} | {problem.key for problem in problems}
    missing = [str(cidr) for cidr in cidrs if keys.pool(cidr) not in known]
    if missing:
        raise NotFound(f"{', '.join(missing)}: no such pool; nothing was removed", _SHOW_HINT)
    in_use = _in_use(cidrs, platform)
    if in_use and not words.flag("--force"):
        raise Conflict(
            f"{in_use}; nothing was removed",
            hint="take them from their containers first, or add --force: the other hosts then lose"
            " their way to them",
        )
    for cidr in cidrs:
        pools.remove(platform.store, cidr)
    if in_use:
        console.say(f"warning: {in_use}: other hosts lose their way to them")


def _in_use(cidrs: list[IPNetwork], platform: Platform) -> str:
    """Say how many addresses are in use and whose they are; empty if none is."""
    holders = pools.holders(platform.store, cidrs)
    if not holders:
        return ""
    listed = [f"{ip} ({who})" for ip, who in list(holders.items())[:_LISTED_HOLDERS]]
    more = len(holders) - len(listed)
    which = ", ".join([*listed, f"and {more} more"] if more else listed)
    number = "1 address is" if len(holders) == 1 else f"{len(holders)} addresses are"
    return f"{number} still in use in {', '.join(map(str, cidrs))}: {which}"


def _show(words: Words, platform: Platform, console: Console) -> None:
    form = output.form(words)
    families = _families(words)
    present, problems = pools.read(platform.store)
    tables.warn(console, problems)
    found = sorted((pool for pool in present if pool.family in families), key=_key)
    items = _items(found) if form in {Form.JSON, Form.YAML} else ()
    listing = Listing("pool", items, [str(pool.cidr) for pool in found])
    output.show(console, form, listing, lambda: _tables(console, families, found))


def _items(found: list[Pool]) -> list[dict[str, object]]:
    from calico_ctl.model import manifest

    return [manifest.pool_item(pool) for pool in found]


def _tables(console: Console, families: Sequence[Family], found: list[Pool]) -> None:
    for family in families:
        ours = [(str(pool.cidr), ",".join(pool.words)) for pool in found if pool.family == family]
        console.table([f"IPv{family} CIDR", "Options"], ours)


def _families(words: Words) -> Sequence[Family]:
    only = {4: words.flag("--ipv4"), 6: words.flag("--ipv6")}
    return [family for family in FAMILIES if only[family] or not any(only.values())]


def _key(pool: Pool) -> tuple[object, ...]:
    return (pool.family, tables.natural(str(pool.cidr)))


def _cidrs(words: Words) -> list[IPNetwork]:
    parsed = [address.parse_exact_network(text) for text in words.texts("<CIDRS>")]
    return list(dict.fromkeys(parsed))


def _range(words: Words) -> list[IPNetwork]:
    start = address.parse_address(words.text("<START_IP>"), "start address")
    end = address.parse_address(words.text("<END_IP>"), "end address")
    if start.version != end.version or start >= end:
        raise InvalidValue("end address", str(end), f"one of its family greater than {start}")
    return list(iprange_to_cidrs(start, end))
