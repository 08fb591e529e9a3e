"""Set how the services log, and what they take from BGP peers.

Usage:
  calicoctl config felix <NAME> [<VALUE>|--remove] [--force]
  calicoctl config bgp <NAME> [<VALUE>|--remove] [--force]
  calicoctl config node bgp <NAME> [<VALUE>|--remove] [--force]

Without <VALUE> and --remove, the value is shown. `felix` is the policy agent of all hosts, `bgp`
the routing of all hosts, `node bgp` that of this host, which goes before the one of all hosts. The
services follow a change at once.

Names for felix:
  loglevel              none, debug, info, warning, error or critical [info]: how much it says in
                        /var/log/calico/felix/current. debug: each thing that it looks at.

Names for bgp and node bgp:
  loglevel              none, debug or info.
  accept_default_route  true or false [false]: take a default route from peers outside the cluster.
  max_prefixes          How many routes to take from a peer, 1 to 10000000 [20000]; more of them
                        are left out. There is no such limit for route reflectors.

Options:
  --remove   Remove the value, so that the default holds.
  --force    Use a name that is none of these, or a value that is not right for it, as it is.
  -h --help  Show this text.

Examples:
  calicoctl config felix loglevel debug
  calicoctl config bgp loglevel
  calicoctl config node bgp loglevel debug
  calicoctl config node bgp loglevel --remove
"""

import re
from collections.abc import Callable, Sequence

from calico_ctl import usage
from calico_ctl.console import Console
from calico_ctl.datastore import bgp, config
from calico_ctl.errors import CalicoError, ExitCode, InvalidValue, NotFound
from calico_ctl.model import bgp as model
from calico_ctl.model import log_level
from calico_ctl.usage import Words
from calico_ctl.workload.platform import Platform

_KEYS = {"loglevel": log_level.SETTING}
"""What names for felix are called in etcd, where that differs."""

_OTHERS = re.compile(r"as_num|node_mesh|peer_v.*|ip_addr_v.*")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def _check_felix_level(text: str) -> None:
    if text not in log_level.WORDS:
        raise InvalidValue("log level", text, ", ".join(log_level.WORDS))


_FELIX: dict[str, Callable[[str], object]] = {"loglevel": _check_felix_level}
_BGP: dict[str, Callable[[str], object]] = {
    "loglevel": model.parse_log_level,
    "accept_default_route": model.parse_switch,
    "max_prefixes": model.parse_prefix_limit,
}


def run(argv: Sequence[str], platform: Platform, console: Console) -> ExitCode:
    """Show, set or remove one setting."""
    words = usage.parse(__doc__, argv)
    known = _FELIX if words.flag("felix") else _BGP
    name, value = words.text("<NAME>"), words.optional("<VALUE>")
    _check_name(name, known, words)
    if value is not None:
        _check_value(name, value, known, words, console)
        _set(name, value, words, platform)
    elif words.flag("--remove"):
        removed = _remove(name, words, platform)
        console.result("Value removed" if removed else "No value configured")
    else:
        present = _get(name, words, platform)
        console.result("No value configured" if present is None else present)
    return ExitCode.OK


def _check_name(name: str, known: dict[str, Callable[[str], object]], words: Words) -> None:
    if name in known:
        return
    if not words.flag("--force"):
        hint = "--force uses a name as it is"
        raise NotFound(f"there is no setting {name!r}; there are: {', '.join(known)}", hint)
    if not _KEY.fullmatch(name):
        raise InvalidValue("name of a setting", name, "letters, digits, and _ . - after the first")
    if known is _BGP and _OTHERS.fullmatch(name):
        raise CalicoError(
            f"{name} is no setting of `calicoctl config`",
            hint="`calicoctl bgp`, `calicoctl node bgp peer` and `calicoctl node --as` set it",
        )


def _check_value(
    name: str,
    value: str,
    known: dict[str, Callable[[str], object]],
    words: Words,
    console: Console,
) -> None:
    if name not in known:
        return
    try:
        known[name](value)
    except InvalidValue as error:
        if not words.flag("--force"):
            raise
        console.say(f"warning: {error.message}; it is set all the same")


def _host(words: Words, platform: Platform) -> str | None:
    return platform.hostname if words.flag("node") else None


def _get(name: str, words: Words, platform: Platform) -> str | None:
    if words.flag("felix"):
        return config.get(platform.store, _KEYS.get(name, name))
    return bgp.setting(platform.store, name, _host(words, platform))


def _set(name: str, value: str, words: Words, platform: Platform) -> None:
    if words.flag("felix"):
        config.set(platform.store, _KEYS.get(name, name), value)
    else:
        bgp.set_setting(platform.store, name, value, _host(words, platform))


def _remove(name: str, words: Words, platform: Platform) -> bool:
    if not words.flag("felix"):
        return bgp.remove_setting(platform.store, name, _host(words, platform))
    try:
        config.remove(platform.store, _KEYS.get(name, name))
    except NotFound:
        return False
    return True
