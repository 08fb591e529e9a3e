"""WHAT THE USER TYPES: a command's docstring is its usage text, then comes `run`.

`COMMANDS` drives dispatch and help. What `run` needs of the world it takes from the Platform that
it is given; it prints through the Console only.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A command: the module that holds it and the line that the help shows; hidden if empty."""

    module: str
    summary: str


COMMANDS = {
    "node": Command("node", "Start or stop the services of this host."),
    "container": Command("container", "Give containers of this host addresses and profiles."),
    "profile": Command("profile", "Decide what the members of a profile may do."),
    "endpoint": Command("endpoint", "Show and change the endpoints of all hosts."),
    "pool": Command("pool", "Say which addresses containers may have."),
    "version": Command("version", "Print the version."),
    "daemon": Command("daemon", ""),
}
