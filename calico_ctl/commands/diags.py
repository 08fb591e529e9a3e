"""Collect all that helps to find what is wrong with this host, without its secrets.

Usage:
  calicoctl diags [--log-dir=<LOG_DIR>] [--output-dir=<DIR>] [--upload=<URL>]
                  [--no-serve] [--wait] [--expires=<TIME>] [--ip=<IP>]

Works when etcd, Docker or the node does not: what cannot be had is named, and the rest collected.
Changes nothing. Passwords, keys, logins and the environment of containers are taken out. Needs
root, and prints what was collected, the file, and an address where it can be downloaded.

The address is one that nobody can guess, on this node's own IP address. It works for one download,
or until it expires: a process of its own serves the file and then ends, while this command is done
at once. It is plain HTTP: use it in a network that you trust, else --upload or --no-serve.

Options:
  --log-dir=<LOG_DIR>  Where the services write their logs [default: /var/log/calico].
  --output-dir=<DIR>   Where to put the file. Without it: /tmp, or where there is room.
  --upload=<URL>       Send the file there by HTTP PUT instead of offering it, and print what is
                       answered. One that ends with a slash gets the name of the file.
  --no-serve           Only write the file.
  --wait               Stay until the file was downloaded, it expires, or Ctrl-C.
  --expires=<TIME>     How long it can be downloaded, such as 90s, 10m or 1h [default: 1h].
  --ip=<IP>            Offer it on this address of this machine. Without it: the node's.
  -h --help            Show this text.

Examples:
  calicoctl diags
  calicoctl diags --expires=10m --wait
  calicoctl diags --upload=https://support.example.org/incoming/
  calicoctl diags --no-serve --output-dir=/root
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from calico_ctl import usage
from calico_ctl.console import Console
from calico_ctl.errors import CalicoError, ExitCode, InvalidValue, UsageError
from calico_ctl.usage import Words

if TYPE_CHECKING:
    from netaddr import IPAddress

    from calico_ctl.diagnostics.bundle import Bundle
    from calico_ctl.diagnostics.platform import Platform
    from calico_ctl.host.one_file_server import OneFileServer
    from calico_ctl.host.private_file import Kept
    from calico_ctl.host.upload import Target

_SUFFIX = ".tar.gz"
_USUAL_FOLDERS = ("/tmp", "/var/tmp", "/var/lib/calico", "/run")  # noqa: S108 - a new, private file


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the command line says; without `target` the file is offered unless `serve` is off."""

    name: str
    log_directory: str
    folders: tuple[Path, ...]
    target: "Target | None"
    serve: bool
    wait: bool
    seconds: float
    ip: "IPAddress | None"


def run(argv: Sequence[str], platform: "Platform", console: Console) -> ExitCode:
    """Collect, write, and hand over as asked."""
    words = usage.parse(__doc__, argv)
    asked = _asked(words, platform)
    console.require_root("calicoctl diags")
    made = _collect(asked, platform, console)
    kept = _keep(asked, made, console)
    if asked.target is not None:
        return _upload(asked.target, kept, console)
    if asked.serve:
        return _offer(asked, kept, platform, console)
    return ExitCode.OK


def _asked(words: Words, platform: "Platform") -> _Asked:
    from datetime import UTC, datetime
    from secrets import token_hex

    from calico_ctl.diagnostics import bundle
    from calico_ctl.host import upload
    from calico_ctl.model import address, duration

    name = bundle.name(platform.hostname, datetime.now(UTC), token_hex(4))
    url, ip = words.optional("--upload"), words.optional("--ip")
    if url is not None and words.flag("--wait"):
        message = "error: --upload sends the file away; there is nothing to --wait for"
        raise UsageError(message, "leave one of them out")
    seconds = duration.parse(words.text("--expires"), "--expires")
    if seconds == 0:
        raise InvalidValue("--expires", words.text("--expires"), "more than no time")
    return _Asked(
        name=name,
        log_directory=_folder(words.text("--log-dir"), "--log-dir"),
        folders=_folders(words.optional("--output-dir")),
        target=None if url is None else upload.parse(url, "--upload", name + _SUFFIX),
        serve=not words.flag("--no-serve"),
        wait=words.flag("--wait"),
        seconds=seconds,
        ip=None if ip is None else address.parse_address(ip, "--ip"),
    )


def _folder(text: str, what: str) -> str:
    if not Path(text).is_absolute():
        raise InvalidValue(what, text, "an absolute path")
    return text


def _folders(text: str | None) -> tuple[Path, ...]:
    first = () if text is None else (_folder(text, "--output-dir"),)
    return tuple(Path(each) for each in dict.fromkeys((*first, *_USUAL_FOLDERS)))


def _collect(asked: _Asked, platform: "Platform", console: Console) -> "Bundle":
    from calico_ctl.diagnostics import bundle, collector, own_secrets, plan

    settings = platform.settings
    secrets = own_secrets.known({**settings.etcd_variables, **settings.docker})
    with console.progress() as say:
        say("collecting; what does not answer may take half a minute")
        collected = collector.collect(plan.collectors(platform, asked.log_directory))
    made = bundle.pack(asked.name, collected, secrets)
    for line in bundle.listed(made.items):
        console.result(line)
    return made


def _keep(asked: _Asked, made: "Bundle", console: Console) -> "Kept":
    from calico_ctl.diagnostics import bundle
    from calico_ctl.host import private_file

    kept = private_file.keep(made.name + _SUFFIX, made.content, asked.folders)
    for each in kept.refused:
        console.say(f"warning: {each}")
    if kept.path is not None:
        console.result(f"file: {kept.path} ({bundle.size(kept.size)})")
        return kept
    if asked.target is None and not asked.serve:
        raise CalicoError(
            "the file cannot be written anywhere", hint="make room, or name a folder: --output-dir"
        )
    console.result(f"file: none, it is only in memory ({bundle.size(kept.size)})")
    return kept


def _upload(target: "Target", kept: "Kept", console: Console) -> ExitCode:
    from calico_ctl.host import upload

    said = upload.put(target, kept.descriptor, kept.size)
    console.say(f"uploaded to {target}")
    if said:
        console.result(said)
    return ExitCode.OK


def _offer(asked: _Asked, kept: "Kept", platform: "Platform", console: Console) -> ExitCode:
    from calico_ctl.diagnostics import node_address
    from calico_ctl.host import background
    from calico_ctl.host.one_file_server import OneFileServer

    try:
        ip = asked.ip or node_address.find(platform)
        server = OneFileServer(ip, asked.name + _SUFFIX, kept.descriptor, kept.size)
    except CalicoError as error:
        if kept.path is None or asked.ip is not None or asked.wait:
            raise
        # Nobody asked for it in so many words, and the file is there.
        console.say(f"warning: it cannot be downloaded: {error.message}")
        return ExitCode.OK
    console.result(f"URL: {server.url}")
    if asked.wait:
        console.say(f"for one download within {_spoken(asked.seconds)}; Ctrl-C ends it earlier")
        return _stay(server, asked, console)
    keep = (server.fileno(), kept.descriptor)
    process = background.leave_behind(partial(server.serve, asked.seconds), keep)
    server.close()
    console.say(
        f"for one download within {_spoken(asked.seconds)}; `kill {process}` ends it earlier"
    )
    return ExitCode.OK


def _stay(server: "OneFileServer", asked: _Asked, console: Console) -> ExitCode:
    try:
        fetched = server.serve(asked.seconds)
    except KeyboardInterrupt:
        console.say("stopped: it cannot be downloaded any more")
        raise
    if fetched:
        console.say("it was downloaded")
        return ExitCode.OK
    raise CalicoError(
        f"nobody downloaded it within {_spoken(asked.seconds)}", hint="the file, if any, is kept"
    )


def _spoken(seconds: float) -> str:
    whole = int(seconds)
    if whole and whole == seconds:
        for unit, length in (("h", 3600), ("m", 60)):
            if whole % length == 0:
                return f"{whole // length} {unit}"
    return f"{seconds:g} s"
