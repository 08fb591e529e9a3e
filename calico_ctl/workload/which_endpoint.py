"""Which endpoint a person means: a word and filters in, endpoints out.

What a word says in full goes before what it may abbreviate, and a container's name goes before the
beginning of an id. Docker is asked only where neither the keys nor the values know the word; it
knows the containers of this host alone.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from calico_ctl.datastore import endpoints
from calico_ctl.datastore.endpoints import Found, Listed
from calico_ctl.datastore.entries import Problem
from calico_ctl.errors import CalicoError, Conflict, NotFound
from calico_ctl.model.endpoint import DOCKER, Endpoint, ShownEndpoint
from calico_ctl.workload.endpoint_word import EndpointWord
from calico_ctl.workload.platform import Platform

_SHOW_HINT = "`calicoctl endpoint show --detailed` lists the endpoints"
_CANDIDATES = 10


class Filter(NamedTuple):
    """What is known of an endpoint; None matches every one."""

    host: str | None = None
    orchestrator: str | None = None
    workload: str | None = None
    word: EndpointWord | None = None

    def __str__(self) -> str:
        """Describe it for messages."""
        known = {
            "endpoint": "" if self.word is None else self.word.text,
            "of workload": self.workload,
            "of orchestrator": self.orchestrator,
            "on host": self.host,
        }
        said = (f"{what} {value}" for what, value in known.items() if value is not None)
        return " ".join(" ".join(said).split())


def find(platform: Platform, wanted: Filter) -> Found:
    """Return the endpoints that match, and beside them the keys there that cannot be read."""
    return _find(platform, wanted)[:2]


def find_shown(platform: Platform, wanted: Filter) -> tuple[list[ShownEndpoint], list[Problem]]:
    """Return the same as `find`, as people are shown it: for when it is nearly all of them."""
    if wanted.word is None:
        return endpoints.shown(_listed(platform, wanted))
    found, problems = find(platform, wanted)
    return [each.shown for each in found], problems


def find_one(platform: Platform, wanted: Filter) -> Endpoint:
    """Return the only endpoint that matches; raise NotFound or Conflict otherwise."""
    found, problems, remark = _find(platform, wanted)
    if len(found) == 1:
        return found[0]
    if found:
        raise Conflict(
            f"{wanted} is ambiguous: {len(found)} endpoints fit: {_candidates(found)}",
            hint="say which by its full id, or narrow it down with --host, --orchestrator or"
            " --workload",
        )
    if problems:
        raise Conflict(f"{wanted} cannot be read: {problems[0].reason}")
    raise NotFound(f"there is no {wanted}{remark}", hint=_SHOW_HINT)


def _find(platform: Platform, wanted: Filter) -> tuple[*Found, str]:
    """Return what `find` returns, and what there is to say if that is nothing."""
    listed = _listed(platform, wanted)
    word = wanted.word
    if word is None:
        return *endpoints.decoded(listed), ""
    if word.namespace and wanted.host is None:
        listed = _those(listed, lambda each: each.key.host == platform.hostname)
    if exact := _those(listed, lambda each: word.is_in_key(each.key)):
        return *endpoints.decoded(exact), ""
    found, problems = endpoints.decoded(
        _those(listed, lambda each: word.may_be_in_value(each.entry.value or ""))
    )
    if meant := [each for each in found if word.is_of(each)]:
        return meant, [], ""
    if word.address is None and not word.namespace:
        return _by_docker_or_beginning(platform, word, listed)
    mentioned = {each.entry.key for each in listed if word.text in (each.entry.value or "")}
    return [], [problem for problem in problems if problem.key in mentioned], ""


def _listed(platform: Platform, wanted: Filter) -> Sequence[Listed]:
    return endpoints.listed(platform.store, wanted.host, wanted.orchestrator, wanted.workload)


def _by_docker_or_beginning(
    platform: Platform, word: EndpointWord, listed: Sequence[Listed]
) -> tuple[*Found, str]:
    container, remark = _container(platform, word)
    here = (platform.hostname, DOCKER, container)
    named = _those(listed, lambda each: each.key[:3] == here)
    beginning = named or _those(listed, lambda each: word.begins_id(each.key))
    return *endpoints.decoded(beginning), remark


def _container(platform: Platform, word: EndpointWord) -> tuple[str, str]:
    """Return the id of this host's container of that name, and what to say if that is no use."""
    if not word.may_name_a_container:
        return "", ""
    try:
        found = platform.docker.hurried().container(word.text)
    except NotFound:
        return "", ""
    except CalicoError as error:
        return "", f" (whether a container is called so is not known: {error.message})"
    if found.name != word.text:
        # Docker knows it as the beginning of an id, which is looked for in etcd.
        return "", ""
    return found.id, f" (container {word.text} of this host has no Calico networking)"


def _those(listed: Sequence[Listed], matches: Callable[[Listed], bool]) -> list[Listed]:
    return [each for each in listed if matches(each)]


def _candidates(found: Sequence[Endpoint]) -> str:
    named = [f"{each.key.id} on host {each.key.host}" for each in found[:_CANDIDATES]]
    more = len(found) - len(named)
    return ", ".join([*named, f"and {more} more"] if more else named)
