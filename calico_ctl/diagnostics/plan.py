"""What a bundle holds: the list of all collectors. Making it asks nobody."""

import json
from functools import partial

from calico_ctl.datastore import server
from calico_ctl.diagnostics import check, docker_sources, host_sources, redact, system
from calico_ctl.diagnostics.collector import Collector, Evidence
from calico_ctl.diagnostics.platform import Platform
from calico_ctl.errors import CalicoError
from calico_ctl.host import local_answers
from calico_ctl.model.root import ROOT

_SECONDS_FOR_THE_AGENT = 15.0


def collectors(platform: Platform, log_directory: str) -> list[Collector]:
    """Return all collectors; the name of each is different, and is the file or folder it makes."""
    return [
        *host_sources.collectors(log_directory),
        *docker_sources.collectors(platform),
        Collector("etcd/servers", partial(_servers, platform)),
        Collector("etcd/calico", partial(_stored, platform), 60.0),
        Collector("agent/state", _agent_state, 2 * _SECONDS_FOR_THE_AGENT),
        Collector("checks", partial(_checks, platform), 60.0),
    ]


def _servers(platform: Platform) -> str:
    access = platform.settings.etcd()
    lines = []
    for authority in access.authorities:
        try:
            found = server.ask(authority, access.tls)
            lines.append(f"{authority}: version {found.version}, its time {found.time}")
        except CalicoError as error:
            lines.append(error.message)
    return "\n".join(lines) + "\n"


def _stored(platform: Platform) -> Evidence:
    tree = platform.store.tree(ROOT)
    lines, secrets = [f"# {platform.store.address}, revision {tree.revision}"], set[str]()
    for entry in tree.entries:
        if entry.value is None:
            lines.append(f"{entry.key}/")
            continue
        secrets.update(_secrets(entry.key, entry.value))
        shown = redact.stored(entry.key, entry.value)
        lines.append(f"{entry.key} (revision {entry.revision}): {shown}")
    return Evidence({"etcd/calico": "\n".join(lines) + "\n"}, frozenset(secrets))


def _secrets(key: str, value: str) -> set[str]:
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        parsed = value
    if isinstance(parsed, dict | list):
        return set(redact.secrets_within(parsed))
    return set(redact.secrets_in([(key.rsplit("/", 1)[-1], str(parsed))]))


def _agent_state() -> str:
    return local_answers.ask(local_answers.AGENT, _SECONDS_FOR_THE_AGENT)


def _checks(platform: Platform) -> str:
    lines = []
    for each in check.run(system.checks(platform)):
        lines.append(f"{each.check}: {each.outcome.value} ({each.about})")
        if each.complaint is not None:
            lines += [f"  {each.complaint.what}", f"  hint: {each.complaint.hint}"]
    return "\n".join(lines) + "\n"
