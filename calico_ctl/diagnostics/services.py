"""Checks of what a node works with: the Docker Engine, free ports, etcd and its clock."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from netaddr import IPAddress

from calico_ctl.datastore import server
from calico_ctl.diagnostics.check import Check, Complaint
from calico_ctl.diagnostics.platform import Docker, Platform
from calico_ctl.docker_api import node_container
from calico_ctl.errors import (
    AlreadyExists,
    CalicoError,
    CommandFailed,
    DatastoreUnavailable,
    DockerUnavailable,
)
from calico_ctl.host import command, ports
from calico_ctl.model import keys
from calico_ctl.model.etcd_access import EtcdAuthority

OLDEST_DOCKER = (20, 10)
BGP_PORT, PROXY_PORT = 179, 2377
SKEW_SECONDS = 5.0

_EVERYWHERE, _LOOPBACK = IPAddress("0.0.0.0"), IPAddress("127.0.0.1")  # noqa: S104 - looked at only
_PROGRAM = re.compile(r'\("([^"]+)",pid=([0-9]+)')

_T = TypeVar("_T")


class _Etcd:
    """Etcd. If no member of it answers, it is waited for once, not by each check."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._away: DatastoreUnavailable | None = None

    def asked(self) -> None:
        """Ask for something; what is wrong with etcd is said by the error, as by every command."""
        try:
            self._platform.store.get(keys.READY)
        except DatastoreUnavailable as error:
            self._away = error
            raise

    def time(self) -> tuple[datetime | None, EtcdAuthority]:
        """Return the time that a member tells, and which; raise what is wrong with the first."""
        if self._away is not None:
            raise self._away
        access = self._platform.settings.etcd()
        first: CalicoError | None = None
        for authority in access.authorities:
            try:
                return server.ask(authority, access.tls).time, authority
            except CalicoError as error:
                first = first or error
        raise first or CalicoError("no member of etcd is named")


class _Engine:
    """The Docker Engine. One that cannot be reached is waited for once, not by each check."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._away: DockerUnavailable | None = None

    def asked(self, question: Callable[[Docker], _T]) -> _T:
        """Return what the engine answers, in a hurry; raise what became of the question."""
        if self._away is not None:
            raise self._away
        try:
            return question(self._platform.docker.hurried())
        except DockerUnavailable as error:
            self._away = error
            raise


def checks(platform: Platform) -> list[Check]:
    """Return the checks of what this platform names."""
    engine, etcd = _Engine(platform), _Etcd(platform)
    return [
        Check("docker", "a Docker Engine of 20.10 or later", partial(_docker, engine)),
        Check("port179", "a port for BGP", partial(_port, engine, _EVERYWHERE, BGP_PORT)),
        Check("port2377", "a port for the Docker API", partial(_proxy_port, engine)),
        Check("etcd", "an etcd that serves what we ask for", etcd.asked),
        Check("clock", "a clock that agrees with etcd's", partial(_clock, etcd)),
    ]


def _docker(engine: _Engine) -> Complaint | None:
    version = str(engine.asked(lambda docker: docker.version()).get("Version"))
    found = re.match(r"([0-9]+)\.([0-9]+)", version)
    if found is None or (int(found[1]), int(found[2])) >= OLDEST_DOCKER:
        # A development build has no number.
        return None
    return Complaint(
        f"the Docker Engine is {version}, and 20.10 is the oldest that is supported",
        "install a later one",
    )


def _proxy_port(engine: _Engine) -> Complaint | None:
    complaint = _port(engine, _LOOPBACK, PROXY_PORT)
    if complaint is None:
        return None
    hint = "name another one: calicoctl node --docker-proxy=127.0.0.1:2378"
    if _is_swarm(engine):
        what = (
            "Docker Swarm's manager listens on 2377, where calico-node would offer the Docker API"
        )
        return Complaint(what, hint)
    return Complaint(complaint.what, hint, complaint.grave)


def _port(engine: _Engine, ip: IPAddress, port: int) -> Complaint | None:
    try:
        ports.require_free(ip, port)
    except AlreadyExists:
        return _taken(engine, port)
    return None


def _taken(engine: _Engine, port: int) -> Complaint | None:
    """Complain about who listens there, unless calico-node runs: then it is ours."""
    who = _listeners(port) or "something"
    hint = "stop it, or have it listen elsewhere"
    try:
        node = engine.asked(lambda docker: docker.own_container(node_container.NAME))
    except CalicoError:
        what = f"{who} listens on port {port}; Docker does not say whether it is calico-node"
        return Complaint(what, hint, grave=False)
    if node is not None and node.running:
        return None
    return Complaint(f"{who} listens on port {port}, which calico-node needs", hint)


def _listeners(port: int) -> str:
    """Name the programs that listen on a port; empty if that cannot be found out."""
    argv = ["ss", "--no-header", "--listening", "--tcp", "--numeric", "--processes"]
    try:
        shown = command.run([*argv, f"sport = :{port}"])
    except CommandFailed:
        return ""
    found = dict.fromkeys(_PROGRAM.findall(shown))
    return ", ".join(f"{name} (process {pid})" for name, pid in found)


def _is_swarm(engine: _Engine) -> bool:
    try:
        return engine.asked(lambda docker: docker.manages_swarm())
    except CalicoError:
        return False


def _clock(etcd: _Etcd) -> Complaint | None:
    try:
        told, authority = etcd.time()
    except CalicoError as error:
        what = f"this machine's clock cannot be compared with etcd's: {error.message}"
        return Complaint(what, "check again once etcd answers", grave=False)
    return None if told is None else _skew(told, authority)


def _skew(told: datetime, authority: EtcdAuthority) -> Complaint | None:
    # etcd tells whole seconds.
    skew = (datetime.now(UTC) - told).total_seconds()
    if -SKEW_SECONDS <= skew <= SKEW_SECONDS + 1:
        return None
    word = "ahead of" if skew > 0 else "behind"
    return Complaint(
        f"this machine's clock is {abs(skew):.0f} s {word} that of etcd at {authority}",
        "set both with NTP: times in logs and reports mislead, and certificates may not be valid",
        grave=False,
    )
