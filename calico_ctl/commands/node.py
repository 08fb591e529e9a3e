"""Start or stop the services that make this host a Calico node.

Usage:
  calicoctl node [--ip=<IP>] [--ip6=<IP6>] [--as=<AS_NUM>] [--node-image=<IMAGE>]
                 [--log-dir=<LOG_DIR>] [--detach=<DETACH>] [--with-etcd]
  calicoctl node stop [--force]

Options:
  --ip=<IP>             This host's IPv4 address on the network that carries the containers'
                        packets. Without it: the one given before, else one that is found.
  --ip6=<IP6>           The same for IPv6. Without it: the one given before, else none.
  --as=<AS_NUM>         This host's AS number. Without it: the one given before, else the cluster's.
  --node-image=<IMAGE>  Image of the services. The default one is built if it is not there.
  --log-dir=<LOG_DIR>   Where the services write their logs [default: /var/log/calico].
  --detach=<DETACH>     `false` stays and shows what the services print [default: true].
  --with-etcd           Also run an etcd of one member on this host, with its data in
                        /var/lib/calico/etcd. Other hosts reach it on port 2379 of --ip.
  --force               Stop although containers have Calico networking; take it from them.
  -h --help             Show this text.

Examples:
  calicoctl node --ip=10.99.0.1 --with-etcd
  ETCD_AUTHORITY=10.99.0.1:2379 calicoctl node --ip=10.99.0.2
"""

from collections.abc import Sequence
from pathlib import Path

from calico_ctl import usage
from calico_ctl.console import Console
from calico_ctl.docker_api import node_container
from calico_ctl.docker_api.client import Engine, Outcome
from calico_ctl.docker_api.image import DEFAULT_IMAGE
from calico_ctl.errors import ExitCode, InvalidValue
from calico_ctl.model import address
from calico_ctl.model.node import parse_as_number
from calico_ctl.usage import Words
from calico_ctl.wiring import RealPlatform
from calico_ctl.workload import node
from calico_ctl.workload.node import NodeRequest

_OUTCOMES = {
    Outcome.UNCHANGED: "is running as before; nothing changed",
    Outcome.STARTED: "is running again",
    Outcome.CREATED: "is running",
    Outcome.REPLACED: "is running with the new settings",
}


def run(argv: Sequence[str], platform: RealPlatform, console: Console) -> ExitCode:
    """Carry out one of the node commands."""
    words = usage.parse(__doc__, argv)
    # Never through our own proxy: replacing calico-node would cut the connection that asks for it.
    if words.flag("stop"):
        console.require_root("calicoctl node stop")
        engine = platform.docker.direct()
        node.stop(platform, engine, DEFAULT_IMAGE, force=words.flag("--force"), say=console.say)
        console.result("Node stopped")
        return ExitCode.OK
    request, detached = _request(words, platform), _parse_detach(words.text("--detach"))
    console.require_root("calicoctl node")
    engine = platform.docker.direct()
    started = node.start(platform, engine, request, console.say)
    console.result(_described(started))
    return ExitCode.OK if detached else _stay(engine, console)


def _request(words: Words, platform: RealPlatform) -> NodeRequest:
    ip, ip6, as_number = (words.optional(name) for name in ("--ip", "--ip6", "--as"))
    log_directory = words.text("--log-dir")
    if not Path(log_directory).is_absolute():
        raise InvalidValue("log directory", log_directory, "an absolute path")
    platform.settings.etcd()
    return NodeRequest(
        ip=None if ip is None else address.parse_unicast(address.parse_ipv4(ip, "--ip"), "--ip"),
        ip6=None
        if ip6 is None
        else address.parse_unicast(address.parse_ipv6(ip6, "--ip6"), "--ip6"),
        as_number=None if as_number is None else parse_as_number(as_number),
        image=words.optional("--node-image") or DEFAULT_IMAGE,
        log_directory=log_directory,
        with_etcd=words.flag("--with-etcd"),
        etcd_authority=platform.settings.etcd_authority,
        networking=platform.settings.networking,
    )


def _described(started: node.Started) -> str:
    addresses = ", ".join(str(ip) for ip in (started.node.ipv4, started.node.ipv6) if ip)
    as_number = f", AS {started.node.as_number}" if started.node.as_number else ""
    outcome = _OUTCOMES[started.outcome]
    return f"{node_container.NAME} {outcome} ({started.node.host}: {addresses}{as_number})"


def _parse_detach(text: str) -> bool:
    if text not in {"true", "false"}:
        raise InvalidValue("--detach", text, "true or false")
    return text == "true"


def _stay(engine: Engine, console: Console) -> ExitCode:
    """Show what the container prints until it ends or the user interrupts; then stop it."""
    try:
        for piece in engine.follow_output(node_container.NAME):
            console.result(piece.rstrip("\n"))
    finally:
        engine.stop_and_remove(node_container.NAME)
    return ExitCode.OK
