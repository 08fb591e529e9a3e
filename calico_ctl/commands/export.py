"""Write profiles and pools as a file for `calicoctl apply`.

Usage:
  calicoctl export [--output=<FORM>]
  calicoctl export all [--output=<FORM>]
  calicoctl export profile [<PROFILES>...] [--output=<FORM>]
  calicoctl export pool [<CIDRS>...] [--output=<FORM>]

Options:
  --output=<FORM>  yaml, a document for each thing, rules as one types them; or json, one list,
                   rules as objects [default: yaml].
  -h --help        Show this text.

What cannot be read in etcd is named on the standard error and left out, and the exit code is 1.

Examples:
  calicoctl export > policy.yaml
  calicoctl export profile web db
  calicoctl export pool --output=json
"""

import json
from collections.abc import Callable, Mapping, Sequence

from calico_ctl import usage
from calico_ctl.commands import output, tables
from calico_ctl.console import Console
from calico_ctl.datastore.entries import Problem
from calico_ctl.errors import ExitCode, InvalidValue, NotFound
from calico_ctl.model import address, keys, manifest, manifest_text, names
from calico_ctl.model.pool import Pool
from calico_ctl.model.profile import Profile
from calico_ctl.usage import Words
from calico_ctl.workload import manifests
from calico_ctl.workload.platform import Platform

_FORMS = ("yaml", "json")

Things = dict[str, Profile | Pool]
"""By the key in etcd."""


def run(argv: Sequence[str], platform: Platform, console: Console) -> ExitCode:
    """Print what etcd holds, or the named part of it."""
    words = usage.parse(__doc__, argv)
    form = _form(words)
    named = _named(words)
    things, problems = _found(platform)
    known = things.keys() | {each.key for each in problems}
    missing = [name for key, name in named.items() if key not in known]
    if missing:
        kind = words.chosen("profile", "pool")
        raise NotFound(
            f"no such {kind}: {', '.join(missing)}", f"`calicoctl {kind} show` lists all"
        )
    is_wanted = _filter(words, named)
    _print(form, [thing for key, thing in things.items() if is_wanted(key)], console)
    left_out = [each for each in problems if is_wanted(each.key)]
    tables.warn(console, left_out)
    return ExitCode.FAILED if left_out else ExitCode.OK


def _form(words: Words) -> str:
    form = words.text("--output")
    if form not in _FORMS:
        raise InvalidValue("--output", form, " or ".join(_FORMS))
    return form


def _named(words: Words) -> dict[str, str]:
    """Return the keys of the things that are named, and their names."""
    profiles = [names.parse_profile_name(text) for text in words.texts("<PROFILES>")]
    cidrs = [address.parse_exact_network(text) for text in words.texts("<CIDRS>")]
    return {keys.profile(name): name for name in profiles} | {
        keys.pool(cidr): str(cidr) for cidr in cidrs
    }


def _filter(words: Words, named: Mapping[str, str]) -> Callable[[str], bool]:
    if named:
        return lambda key: key in named
    if words.flag("profile") or words.flag("pool"):
        return lambda key: key.startswith(keys.PROFILES) == words.flag("profile")
    return lambda _key: True


def _found(platform: Platform) -> tuple[Things, list[Problem]]:
    """Return what `apply` would take back, pools first, and what it would not."""
    there, problems = manifests.present(platform.store)
    found: Things = {keys.pool(pool.cidr): pool for pool in there.pools}
    for name in sorted(there.profiles, key=tables.natural):
        key = keys.profile(name)
        try:
            names.parse_profile_name(name)
        except InvalidValue as error:
            problems = [*problems, Problem(key, error.message)]
        else:
            found[key] = there.profiles[name]
    return found, problems


def _print(form: str, things: Sequence[Profile | Pool], console: Console) -> None:
    if form == "json":
        listing = output.Listing(manifest.LIST, [manifest.item(each) for each in things], ())
        console.result(json.dumps(output.as_object(listing), indent=2))
    elif things:
        written = manifest_text.in_yaml([manifest.document(each) for each in things])
        console.result(written.rstrip("\n"))
