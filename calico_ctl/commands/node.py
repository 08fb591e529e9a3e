"""Start or stop the services that make this host a Calico node, or remove a host that is gone.

Usage:
  calicoctl node [--ip=<IP>] [--ip6=<IP6>] [--as=<AS_NUM>] [--node-image=<IMAGE>]
                 [--log-dir=<LOG_DIR>] [--detach=<DETACH>] [--with-etcd]
                 [--docker-proxy=<ADDR:PORT>] [--docker-proxy-insecure]
                 [--docker-proxy-cert=<FILE>] [--docker-proxy-key=<FILE>] [--docker-proxy-ca=<FILE>]
                 [--metrics=<ADDR:PORT>]
  calicoctl node stop [--force]
  calicoctl node remove <HOSTNAME> [--force]
  calicoctl node image save <FILE> [--node-image=<IMAGE>]
  calicoctl node image load <FILE> [--node-image=<IMAGE>]
  calicoctl node bgp peer add <PEER_IP> as <AS_NUM> [--password-file=<FILE>]
  calicoctl node bgp peer remove <PEER_IP>
  calicoctl node bgp peer show [--ipv4 | --ipv6] [--output=<FORM>]

Options:
  --ip=<IP>             This host's IPv4 address on the network that carries the containers'
                        packets. Without it: the one given before, else one that is found.
  --ip6=<IP6>           The same for IPv6. Without it: the one given before, else none.
  --as=<AS_NUM>         This host's AS number. Without it: the one given before, else the cluster's.
  --node-image=<IMAGE>  Image of the services; one from a registry is pulled if it is not there.
                        Without it: the one given before, unless that is a calico/node; else the
                        calico/node of this command's version, which is built if it is not there.
  --log-dir=<LOG_DIR>   Where the services write their logs [default: /var/log/calico].
  --detach=<DETACH>     `false` stays and shows what the services print [default: true].
  --with-etcd           Also run an etcd of one member on this host, with its data in
                        /var/lib/calico/etcd. Other hosts reach it on port 2379 of --ip.
  --docker-proxy=<ADDR:PORT>
                        Where Docker clients find a Docker API that gives containers their network
                        by CALICO_IP; or `off`. Without it: as before, else 127.0.0.1:2377. Whoever
                        uses that API is root on this host, as with Docker's own socket; so
                        addresses that other machines reach take the three files below.
  --docker-proxy-cert=<FILE>  Its certificate for TLS, in PEM. Without it: as before, else no TLS.
  --docker-proxy-key=<FILE>   The key of that certificate.
  --docker-proxy-ca=<FILE>    Who has to have signed the certificates of clients.
  --docker-proxy-insecure     Other machines may reach the address, and there shall be no TLS.
  --metrics=<ADDR:PORT>
                        Where Prometheus finds what the services measure; or `off`. Without it: as
                        before, else 127.0.0.1:9091. They can be read there and nothing else.
  --force               Stop although containers have Calico networking; take it from them. Remove a
                        host although it seems to be alive.
  --password-file=<FILE>
                        Where the password of a BGP session is (TCP MD5); without it there is none.
                        It is kept in etcd: whoever can read etcd can read it.
  --ipv4                Show BGP peers with IPv4 addresses only.
  --ipv6                Show BGP peers with IPv6 addresses only.
  --output=<FORM>       How to show them: table, json, yaml, or name for the addresses alone.
  -h --help             Show this text.

Examples:
  calicoctl node --ip=10.99.0.1 --with-etcd
  ETCD_AUTHORITY=10.99.0.1:2379 calicoctl node --ip=10.99.0.2
  calicoctl node --docker-proxy=127.0.0.1:2378
  calicoctl node remove host3
  calicoctl node --node-image=registry.example.org/calico/node:1.0.0
  calicoctl node image save calico-node.tar
  calicoctl node bgp peer add 10.99.0.254 as 65000
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from calico_ctl import usage
from calico_ctl.commands import bgp_peers
from calico_ctl.console import Console
from calico_ctl.docker_api import image, node_container
from calico_ctl.docker_api.client import Engine, Outcome
from calico_ctl.docker_api.image import DEFAULT_IMAGE
from calico_ctl.errors import DockerUnavailable, ExitCode, InvalidValue, UsageError
from calico_ctl.model import address, docker_proxy, etcd_access, image_name, metrics_address
from calico_ctl.model.docker_proxy import DockerProxy, TlsFiles
from calico_ctl.model.etcd_access import EtcdAccess
from calico_ctl.model.metrics_address import MetricsRequest
from calico_ctl.model.node import Node, parse_as_number
from calico_ctl.usage import Words
from calico_ctl.wiring import RealPlatform
from calico_ctl.workload import node, node_removal, proxy_address
from calico_ctl.workload.node import NodeRequest
from calico_ctl.workload.proxy_address import ProxyRequest

_OUTCOMES = {
    Outcome.UNCHANGED: "is running as before; nothing changed",
    Outcome.STARTED: "is running again",
    Outcome.CREATED: "is running",
    Outcome.REPLACED: "is running with the new settings",
}


def run(argv: Sequence[str], platform: RealPlatform, console: Console) -> ExitCode:
    """Carry out one of the node commands."""
    words = usage.parse(__doc__, argv)
    if words.flag("bgp"):
        bgp_peers.run(words, platform, console, bgp_peers.here(platform))
        return ExitCode.OK
    if words.flag("stop"):
        _stop(words, platform, console)
        return ExitCode.OK
    if words.flag("remove"):
        _remove(words, platform, console)
        return ExitCode.OK
    if words.flag("image"):
        _image(words, platform, console)
        return ExitCode.OK
    request, detached = _request(words, platform), _parse_detach(words.text("--detach"))
    console.require_root("calicoctl node")
    engine = _engine(platform)
    with console.progress() as say:
        started = node.start(platform, engine, request, say)
    console.result(_described(started))
    if started.docker_proxy is not None:
        console.say(pointer(started.docker_proxy, started.node))
    return ExitCode.OK if detached else _stay(engine, console)


def _stop(words: Words, platform: RealPlatform, console: Console) -> None:
    console.require_root("calicoctl node stop")
    engine = _engine(platform)
    node.stop(platform, engine, DEFAULT_IMAGE, force=words.flag("--force"), say=console.say)
    console.result("Node stopped")


def _image(words: Words, platform: RealPlatform, console: Console) -> None:
    """Write the image to a file, for hosts that cannot build it, or read it there."""
    name, file = _image_name(words) or DEFAULT_IMAGE, Path(words.text("<FILE>"))
    engine = _engine(platform)
    with console.progress() as say:
        if words.flag("load"):
            image.load(engine, name, file, say)
            done = f"{name} is there now"
        else:
            image.ensure(engine, name, say)
            say(f"writing {file}")
            done = f"{name} is in {file} ({image.save(engine, name, file) / 1e6:.0f} MB)"
    console.result(done)


def _remove(words: Words, platform: RealPlatform, console: Console) -> None:
    host, force = words.text("<HOSTNAME>"), words.flag("--force")
    removed = node_removal.remove(platform.store, host, platform.hostname, force=force)
    console.result(f"removed host {host} ({_counted(removed)})")


def _counted(removed: node_removal.Removed) -> str:
    endpoints = "1 endpoint" if removed.endpoints == 1 else f"{removed.endpoints} endpoints"
    addresses = "1 address" if removed.addresses == 1 else f"{removed.addresses} addresses"
    return f"{endpoints}, {addresses}"


def _request(words: Words, platform: RealPlatform) -> NodeRequest:
    ip, ip6, as_number = (words.optional(name) for name in ("--ip", "--ip6", "--as"))
    log_directory = words.text("--log-dir")
    if not Path(log_directory).is_absolute():
        raise InvalidValue("log directory", log_directory, "an absolute path")
    etcd = platform.settings.etcd()
    if words.flag("--with-etcd"):
        _require_plain(etcd)
    return NodeRequest(
        ip=None if ip is None else address.parse_unicast(address.parse_ipv4(ip, "--ip"), "--ip"),
        ip6=None
        if ip6 is None
        else address.parse_unicast(address.parse_ipv6(ip6, "--ip6"), "--ip6"),
        as_number=None if as_number is None else parse_as_number(as_number),
        image=_image_name(words),
        log_directory=log_directory,
        with_etcd=words.flag("--with-etcd"),
        etcd=etcd,
        networking=platform.settings.networking,
        docker_proxy=_proxy_request(words),
        metrics=_metrics_request(words),
    )


def _image_name(words: Words) -> str | None:
    name = words.optional("--node-image")
    return None if name is None else image_name.parse(name, "--node-image")


def _require_plain(etcd: EtcdAccess) -> None:
    """Refuse settings that the etcd of --with-etcd cannot have: nobody would ever reach it."""
    if len(etcd.authorities) > 1:
        trouble, variable = "is one member", etcd_access.AUTHORITY
    elif etcd.tls is not None:
        trouble, variable = "speaks plain HTTP", etcd_access.SCHEME
    elif etcd.login is not None:
        trouble, variable = "asks nobody for a password", etcd_access.USERNAME
    else:
        return
    raise UsageError(
        f"error: the etcd of --with-etcd {trouble}, but {variable} says something else",
        hint=f"unset {variable}, or leave out --with-etcd to use the etcd that is there",
    )


def _proxy_request(words: Words) -> ProxyRequest:
    text, insecure = words.optional("--docker-proxy"), words.flag("--docker-proxy-insecure")
    listen = None if text is None else docker_proxy.parse(text, "--docker-proxy")
    tls = _tls_files(words)
    if tls is not None and insecure:
        raise UsageError(
            "error: --docker-proxy-insecure means no certificates, but there are some",
            hint="leave it out",
        )
    return ProxyRequest(listen, text is not None and listen is None, tls, insecure)


def _metrics_request(words: Words) -> MetricsRequest:
    text = words.optional("--metrics")
    listen = None if text is None else metrics_address.parse(text, "--metrics")
    return MetricsRequest(listen, text is not None and listen is None)


def _tls_files(words: Words) -> TlsFiles | None:
    names = ("--docker-proxy-cert", "--docker-proxy-key", "--docker-proxy-ca")
    given = {name: path for name in names if (path := words.optional(name)) is not None}
    if not given:
        return None
    missing = [name for name in names if not given.get(name)]
    if missing:
        raise UsageError(f"error: {' and '.join(given)} without {' and '.join(missing)}")
    # The engine mounts them, and does not know where we are.
    return TlsFiles(*(str(Path(given[name]).absolute()) for name in names))


def _engine(platform: RealPlatform) -> Engine:
    """Return the engine, never through our own proxy: that ends in the middle of our work."""
    engine = platform.docker.direct()
    if engine.address.startswith("unix:"):
        return engine
    try:
        proxy = proxy_address.kept(engine.own_container(node_container.NAME))
    except DockerUnavailable as error:
        hint = f"{error.hint}; if that is the proxy in {node_container.NAME}: unset DOCKER_HOST"
        raise DockerUnavailable(error.message, hint.removeprefix("; ")) from error
    return Engine() if proxy_address.leads_through(engine.address, proxy) else engine


def _described(started: node.Started) -> str:
    addresses = ", ".join(str(ip) for ip in (started.node.ipv4, started.node.ipv6) if ip)
    as_number = f", AS {started.node.as_number}" if started.node.as_number else ""
    outcome = _OUTCOMES[started.outcome]
    return f"{node_container.NAME} {outcome} ({started.node.host}: {addresses}{as_number})"


def pointer(proxy: DockerProxy, there: Node) -> str:
    """Say how to use the proxy, from other machines too if they reach it."""
    if int(proxy.address) == 0:
        ip = there.ipv6 if proxy.address.version == 6 else there.ipv4
        proxy = replace(proxy, address=ip or proxy.address)
    where = f"localhost:{proxy.port}" if proxy.host == "127.0.0.1" else str(proxy)
    line = f"point Docker clients at the proxy: export DOCKER_HOST={where}"
    if proxy.tls is None:
        return line
    files = "ca.pem, cert.pem and key.pem"
    return f"{line} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=<directory with {files}>"


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
