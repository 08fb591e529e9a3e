"""WHAT THE USER TYPES: a command's docstring is its usage text, then comes `run`.

`COMMANDS` drives dispatch and help. `run(argv, platform, console)` gets the words from the
command's own name on, and returns an exit code. What it needs of the world it takes from the
platform; it prints through the console only. `tables` and `output` hold what several commands show,
`bgp_peers` what `bgp peer` and `node bgp peer` do.
"""


class Command:
    """A command: the module that holds it and the line that the help shows; hidden if empty.

    No dataclass: it would take a third of the time in which help and version answer.
    """

    __slots__ = ("module", "summary")

    def __init__(self, module: str, summary: str) -> None:
        """Take both."""
        self.module = module
        self.summary = summary


COMMANDS = {
    "node": Command("node", "Start or stop the services of this host."),
    "status": Command("status", "Say how this host's node is, and what is wrong."),
    "container": Command("container", "Give containers of this host addresses and profiles."),
    "profile": Command("profile", "Decide what the members of a profile may do."),
    "endpoint": Command("endpoint", "Show and change the endpoints of all hosts."),
    "pool": Command("pool", "Say which addresses containers may have."),
    "bgp": Command("bgp", "Say whom all hosts exchange routes with."),
    "ipam": Command("ipam", "Look after the addresses that are given out."),
    "config": Command("config", "Set how the services log."),
    "apply": Command("apply", "Make profiles and pools as a file says."),
    "diff": Command("diff", "Show what `apply` would change."),
    "export": Command("export", "Write profiles and pools as a file for `apply`."),
    "datastore": Command("datastore", "Move or save all that etcd holds of a cluster."),
    "explain": Command("explain", "Say whether a packet may pass, and by which rule."),
    "drops": Command("drops", "Show what this host's policy drops, as it happens."),
    "checksystem": Command("checksystem", "Say whether this machine can be a node."),
    "diags": Command("diags", "Collect all that helps to find what is wrong."),
    "env": Command("env", "Print the settings of the shell for `eval`."),
    "completion": Command("completion", "Print the completion script of a shell."),
    "version": Command("version", "Print the version."),
    "complete": Command("complete", ""),
    "daemon": Command("daemon", ""),
}

FORMER = {
    "shownodes": "endpoint show",
    "group": "profile",
    "ipv4": "pool",
    "ipv6": "pool",
    "bgppeer": "bgp peer",
    "bgp-node-mesh": "bgp node-mesh",
    "default-node-as": "bgp default-node-as",
}
"""Commands of the historical tool that were renamed, for the hint after an unknown command."""
