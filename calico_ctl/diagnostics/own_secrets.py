"""The secrets that this machine's own settings name, so that no collected file shows them."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from calico_ctl.diagnostics import redact
from calico_ctl.errors import CalicoError
from calico_ctl.host import evidence

_MOST = 1 << 20


def known(variables: Mapping[str, str]) -> set[str]:
    """Return what the environment holds, what the files hold that it names, and Docker's logins.

    A file that cannot be read gives nothing: nobody else could have shown it.
    """
    found = set(redact.secrets_in(variables.items()))
    for name, path in variables.items():
        if name.endswith("_FILE") and redact.is_secret_name(name.removesuffix("_FILE")):
            found.update(redact.spellings(_text(Path(path)).strip()))
    return found | set(_docker_logins(variables))


def _docker_logins(variables: Mapping[str, str]) -> Iterator[str]:
    named = variables.get("DOCKER_CONFIG")
    # With sudo, home may be root's or that of who types.
    usual = (Path("/root/.docker"), Path.home() / ".docker")
    for folder in (*usual, *([Path(named)] if named else [])):
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
