"""WHAT THE USER TYPES: a command's docstring is its usage text, then comes `run`.

`COMMANDS` drives dispatch and help. `run(argv, platform, console)` gets the words from the
command's own name on, and returns an exit code. What it needs of the world it takes from the
platform; it prints through the console only. `tables` holds what several commands show.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A command: the module that holds it and the line that the help shows; hidden if empty."""

    module: str
    summary: str


COMMANDS = {
    "node": Command("node", "Start or stop the services of this host."),
    "status": Command("status", "Say how this host's node is, and what is wrong."),
    "container": Command("container", "Give containers of this host addresses and profiles."),
    "profile": Command("profile", "Decide what the members of a profile may do."),
    "endpoint": Command("endpoint", "Show and change the endpoints of all hosts."),
    "pool": Command("pool", "Say which addresses containers may have."),
    "version": Command("version", "Print the version."),
    "daemon": Command("daemon", ""),
}

FORMER = {
    "shownodes": "endpoint show",
    "group": "profile",
    "ipv4": "pool",
    "ipv6": "pool",
}
"""Commands of the historical tool that were renamed, for the hint after an unknown command."""
