"""BIRD: giving it a configuration, asking it how its sessions are."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from calico_ctl.errors import CommandFailed
from calico_ctl.host import command, files

CONFIG = "/etc/calico/bird.conf"
SOCKET = "/run/calico/bird.ctl"
STARTS = "/run/calico/bird.starts"
"""How often it was started since the node's container was, and when it was last."""

_MODE = 0o600
"""For root only: passwords of peers are in there."""

_SESSION = re.compile(
    r"(?P<name>\S+)\s+BGP\s+\S+\s+(?P<state>\S+)\s+(?P<since>\S+)(?:\s+(?P<info>.*))?"
)
_ROUTES = re.compile(
    r"Routes:\s+(?P<received>[0-9]+) imported,(?: [0-9]+ filtered,)?"
    r" (?P<exported>[0-9]+) exported, (?P<preferred>[0-9]+) preferred"
)
_STARTS = re.compile(r"(?P<count>[1-9][0-9]{0,9}) (?P<last>[0-9-]{10}T[0-9:]{8}Z)")
_LIMIT = re.compile(r"import limit [0-9]+")
_DONE = re.compile(r"^(Reconfigured|Reconfiguration in progress)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class RouteCounts:
    """How many routes a session has: received and taken, sent, and received ones that are used."""

    received: int
    exported: int
    preferred: int


@dataclass(frozen=True, slots=True)
class SessionState:
    """A BGP session as BIRD shows it. `info` is `Established`, or where it stands and why.

    `state` is that of BIRD's protocol: `up`, `start` or `down`. `routes` is None if BIRD did not
    say it: it does only for sessions that exchange routes, and only if all was asked for.
    """

    name: str
    state: str
    since: str
    info: str
    routes: RouteCounts | None = None

    @property
    def established(self) -> bool:
        """Say whether routes are being exchanged."""
        return self.info == "Established"


@dataclass(frozen=True, slots=True)
class Life:
    """Since when BIRD runs, and how often it was started again since the node's container was."""

    since: str
    restarts: int


class Bird:
    """The BIRD of this host; remembers what it was given."""

    def __init__(self, config: str = CONFIG, socket: str = SOCKET) -> None:
        """Name its files. What a running BIRD has loaded is not known yet."""
        self._config = config
        self._socket = socket
        self._loaded: str | None = None

    def configure(self, text: str) -> bool:
        """Give BIRD a configuration unless it has it; say whether the file had to be written.

        BIRD looks at it first; one that it refuses replaces nothing and raises CommandFailed. A
        BIRD that is not up reads the file when it starts.
        """
        if text == self._loaded:
            return False
        candidate = f"{self._config}.candidate"
        files.write_if_changed(candidate, text, _MODE)
        command.run(["bird", "-p", "-c", candidate])
        before = files.read(self._config)
        written = files.write_if_changed(self._config, text, _MODE)
        if Path(self._socket).exists():
            self._reconfigure()
            if before is not None and _limits(before) != _limits(text):
                self._ask_peers_again()
        self._loaded = text
        return written

    def sessions(self) -> list[SessionState] | None:
        """Return the BGP sessions, or None if BIRD is not up."""
        try:
            shown = command.run(asking_for_states(self._socket))
        except CommandFailed:
            return None
        return parse_sessions(shown)

    def _reconfigure(self) -> None:
        argv = ["birdc", "-s", self._socket, "configure"]
        answer = command.run(argv)
        # birdc ends with 0 whatever BIRD answers.
        if not _DONE.search(answer):
            raise CommandFailed(f"`{' '.join(argv)}` failed: {answer.strip().splitlines()[-1]}")

    def _ask_peers_again(self) -> None:
        """Have peers say everything anew: what went beyond another limit was not kept."""
        command.run(["birdc", "-s", self._socket, "reload", "in", "all"])


def _limits(text: str) -> set[str]:
    return set(_LIMIT.findall(text))


def asking_for_states(socket: str = SOCKET) -> list[str]:
    """Return the program that asks BIRD how its sessions are; it may change nothing."""
    return ["birdc", "-r", "-s", socket, "show", "protocols"]


def asking_for_sessions(socket: str = SOCKET) -> list[str]:
    """Return the program that also asks for their counts of routes."""
    return [*asking_for_states(socket), "all"]


def asking_for_sessions_and_starts() -> list[str]:
    """Return the program that then shows how BIRD was started; nodes of before that do not know.

    One, because to have Docker run a program takes much longer than these do.
    """
    asking = " ".join(asking_for_sessions())
    return ["sh", "-c", f"{asking} || exit; cat {STARTS}; true"]


def parse_starts(shown: str) -> Life | None:
    """Read the last line of that; None if it says nothing."""
    match = _STARTS.fullmatch(shown.strip().rpartition("\n")[2])
    return None if match is None else Life(match["last"], int(match["count"]) - 1)


def parse_sessions(shown: str) -> list[SessionState]:
    """Read what `birdc show protocols`, with `all` or without, prints."""
    found: list[SessionState] = []
    bgp = False
    for line in shown.splitlines():
        if line[:1].strip():
            # The head of a protocol, of whatever kind; what follows is indented.
            match = _SESSION.fullmatch(line.strip())
            bgp = match is not None
            if match:
                info = " ".join((match["info"] or "").split())
                found.append(SessionState(match["name"], match["state"], match["since"], info))
        elif bgp and (match := _ROUTES.fullmatch(line.strip())):
            counts = {name: int(count) for name, count in match.groupdict().items()}
            found[-1] = replace(found[-1], routes=RouteCounts(**counts))
    return found
