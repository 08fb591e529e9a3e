"""The secrets that this machine's own settings name, so that no collected file shows them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from calico_ctl.diagnostics import redact
from calico_ctl.errors import CalicoError
from calico_ctl.host import evidence

HANDED_OVER = Path("/var/lib/calico/etcd-access")
"""Where `workload.etcd_handover` keeps what calico-node's services are given, in folders."""

_MOST = 1 << 20


def known(variables: Mapping[str, str]) -> set[str]:
    """Return what the environment holds, and what files hold: those that it names, Docker's.

    And those that the services have, whatever the environment says now. A file that cannot be read
    gives nothing: nobody else could have shown it.
    """
    found = set(redact.secrets_in(variables.items()))
    for name, path in variables.items():
        if name.endswith("_FILE") and redact.is_secret_name(name.removesuffix("_FILE")):
            found.update(redact.spellings(_text(Path(path)).strip()))
    found.update(_handed_over())
    if user := variables.get("ETCD_USERNAME"):
        # as HTTP writes a login
        found.update(*(redact.spellings(f"{user}:{each}") for each in list(found)))
    return found.union(_docker_logins(variables))


def _handed_over() -> Iterator[str]:
    try:
        files = evidence.below(HANDED_OVER)
    except CalicoError:
        return
    for each in files:
        if each.name.endswith("/password"):
            yield from redact.spellings(_text(HANDED_OVER / each.name).strip())


def _docker_logins(variables: Mapping[str, str]) -> Iterator[str]:
    folders = [Path("/root/.docker")]
    if named := variables.get("DOCKER_CONFIG"):
        folders.append(Path(named))
    # With sudo, home may be root's or that of who types; or nobody says what it is.
    with suppress(RuntimeError):
        folders.append(Path.home() / ".docker")
    for folder in folders:
        try:
            config = json.loads(_text(folder / "config.json") or "{}")
        except (ValueError, RecursionError):
            continue
        yield from redact.secrets_within(config)


def _text(path: Path) -> str:
    try:
        return evidence.end_of(path, _MOST)
    except CalicoError:
        return ""
