"""Give containers of this host Calico networking, and decide what they may do.

Usage:
  calicoctl container add <CONTAINER> <IP> [--interface=<INTERFACE>] [--timeout=<SECONDS>]
  calicoctl container remove <CONTAINER>
  calicoctl container <CONTAINER> ip (add|remove) <IP> [--interface=<INTERFACE>]
  calicoctl container <CONTAINER> endpoint show [--output=<FORM>]
  calicoctl container <CONTAINER> profile (append|remove|set) [<PROFILES>...]

Arguments:
  <CONTAINER>  A name, an id, the beginning of an id, or the absolute path of a network
               namespace's file.
  <IP>         An address, `ipv4` or `ipv6` for any free address of that family, or the CIDR of a
               pool for any free address of it.

Options:
  --interface=<INTERFACE>  Name of the interface in the container; without it eth1, or for `ip`
                           the one that the container has.
  --timeout=<SECONDS>      How long to wait for the policy agent [default: 10].
  --output=<FORM>          How to show them: table, json, yaml, or name for the ids alone.
  -h --help                Show this text.

Examples:
  calicoctl container add web 192.168.1.5
  calicoctl container web ip add fd80:24e2:f998:72d6::5
  calicoctl container web profile append frontend
  calicoctl container remove web
"""

import math
from collections.abc import Sequence

from calico_ctl import usage
from calico_ctl.commands import output, tables
from calico_ctl.console import Console
from calico_ctl.datastore import endpoints
from calico_ctl.errors import CalicoError, ExitCode, InvalidValue, NotFound
from calico_ctl.host import namespaces
from calico_ctl.model import address, names
from calico_ctl.model.endpoint import DEFAULT_INTERFACE
from calico_ctl.usage import Words
from calico_ctl.workload import attach, workload
from calico_ctl.workload.platform import Platform
from calico_ctl.workload.workload import Workload

LONGEST_TIMEOUT = 3600.0


def run(argv: Sequence[str], platform: Platform, console: Console) -> ExitCode:
    """Carry out one of the container commands."""
    words = usage.parse(__doc__, argv)
    if words.flag("ip"):
        _change_addresses(words, platform, console)
    elif words.flag("add"):
        _add(words, platform, console)
    elif words.flag("endpoint"):
        _show(words, platform, console)
    elif words.flag("profile"):
        _change_profiles(words, platform, console)
    else:
        _remove(words, platform, console)
    return ExitCode.OK


def _add(words: Words, platform: Platform, console: Console) -> None:
    name = _container(words)
    request = address.parse_address_request(words.text("<IP>"))
    interface = _interface(words) or DEFAULT_INTERFACE
    timeout = _parse_timeout(words.text("--timeout"))
    console.require_root("calicoctl container add")
    wanted = attach.Attachment(_running(platform, name), (request,), interface, timeout=timeout)
    (ip,) = attach.attach(platform, wanted).addresses
    console.result(f"IP {ip} added to {name}")


def _change_addresses(words: Words, platform: Platform, console: Console) -> None:
    # `add`, which people wait for, loads nothing that only the others need.
    from calico_ctl.workload import addresses

    name, text, interface = _container(words), words.text("<IP>"), _interface(words)
    if words.flag("add"):
        request = address.parse_address_request(text)
        console.require_root("calicoctl container ip add")
        added = addresses.add(platform, _running(platform, name), request, interface)
        console.result(f"IP {added} added to {name}")
    else:
        ip = address.parse_address(text)
        console.require_root("calicoctl container ip remove")
        addresses.remove(platform, _running(platform, name), ip, interface)
        console.result(f"IP {ip} removed from {name}")


def _interface(words: Words) -> str | None:
    given = words.optional("--interface")
    return None if given is None else names.parse_interface(given)


def _remove(words: Words, platform: Platform, console: Console) -> None:
    from calico_ctl.workload import detach

    name = _container(words)
    console.require_root("calicoctl container remove")
    detach.detach(platform, workload.known(platform, name))
    console.result(f"Removed Calico from {name}")


def _show(words: Words, platform: Platform, console: Console) -> None:
    form = output.form(words)
    found = workload.known(platform, _container(words))
    listed, problems = _endpoints(platform, found)
    tables.warn(console, problems)
    tables.show_endpoints(console, form, [each.shown for each in listed])


def _change_profiles(words: Words, platform: Platform, console: Console) -> None:
    from calico_ctl.workload import membership
    from calico_ctl.workload.which_endpoint import Filter

    profiles = tuple(names.parse_profile_name(text) for text in words.texts("<PROFILES>"))
    found = workload.known(platform, _container(words))
    if _endpoints(platform, found) == ([], []):
        raise NotFound(
            f"container {found.label} has no Calico networking on this host",
            hint=f"give it some: calicoctl container add {found.label} <IP>",
        )
    chosen = Filter(platform.hostname, found.orchestrator, found.id)
    console.result(membership.change(platform, chosen, words.chosen(*membership.VERBS), profiles))


def _container(words: Words) -> str:
    return names.parse_container(words.text("<CONTAINER>"))


def _running(platform: Platform, name: str) -> Workload:
    """Find the workload for a change inside it, which only an engine of this machine can name."""
    if name.startswith("/"):
        found = workload.running(platform, name)
        namespaces.require_foreign(found.netns)
        return found
    if not platform.docker.is_local():
        raise CalicoError(
            f"container {name} is not on this host: DOCKER_HOST names an engine elsewhere",
            hint="run calicoctl on the container's host, or without DOCKER_HOST",
        )
    return workload.running(platform, name)


def _endpoints(platform: Platform, found: Workload) -> endpoints.Found:
    return endpoints.all(platform.store, platform.hostname, found.orchestrator, found.id)


def _parse_timeout(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= LONGEST_TIMEOUT:
        raise InvalidValue("timeout", text, f"seconds, more than 0 and at most {LONGEST_TIMEOUT:g}")
    return seconds
