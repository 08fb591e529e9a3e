"""Move or save all that etcd holds of a cluster.

Usage:
  calicoctl datastore migrate --from=<API> --to=<API> [--dry-run]
  calicoctl datastore export <FILE>
  calicoctl datastore import <FILE>

`migrate` copies the cluster from one of etcd's APIs, 2 or 3, to the other. Meanwhile, and on each
host until it has followed, agents leave everything as it is: packets flow, and no container gets a
new network. In the old store nothing is deleted. `export` writes the cluster to a new file,
passwords of BGP peers among it, and `import` fills an empty etcd from it.

Options:
  --from=<API>  The API whose store holds the cluster, 2 or 3.
  --to=<API>    The other one.
  --dry-run     Say what would be copied, and change nothing.
  -h --help     Show this text.

Examples:
  calicoctl datastore migrate --from=2 --to=3 --dry-run
  calicoctl datastore migrate --from=2 --to=3
  calicoctl datastore export cluster.json
  calicoctl datastore import cluster.json
"""

import json
from collections.abc import Sequence
from pathlib import Path

from calico_ctl import usage
from calico_ctl.console import Console
from calico_ctl.datastore import transfer
from calico_ctl.datastore.transfer import Content, Difference
from calico_ctl.errors import (
    AlreadyExists,
    CalicoError,
    ExitCode,
    InvalidValue,
    NotFound,
    UsageError,
)
from calico_ctl.host import files, private_file, text_files
from calico_ctl.model import etcd_access
from calico_ctl.model.root import ROOT
from calico_ctl.usage import Words
from calico_ctl.wiring import RealPlatform

_HEAD = '{"schema": 1, "kind": "datastore", "items": ['


def run(argv: Sequence[str], platform: RealPlatform, console: Console) -> ExitCode:
    """Carry out one of the datastore commands."""
    words = usage.parse(__doc__, argv)
    if words.flag("migrate"):
        _migrate(words, platform, console)
    elif words.flag("export"):
        _export(Path(words.text("<FILE>")), platform, console)
    else:
        _import(words.text("<FILE>"), platform, console)
    return ExitCode.OK


def _migrate(words: Words, platform: RealPlatform, console: Console) -> None:
    old, new = _api(words, "--from"), _api(words, "--to")
    if old == new:
        raise UsageError(f"error: --from and --to are both {old}")
    source, target = platform.etcd_store(old), platform.etcd_store(new)
    if words.flag("--dry-run"):
        found = transfer.plan(source, target)
        console.result(f"would copy to the v{new} store: {_counted(found)}")
        return
    found = transfer.migrate(source, target, console.say)
    if not found:
        console.result(f"the v{new} store holds the cluster already; nothing was copied")
    else:
        console.result(f"the v{new} store holds the cluster now: {_counted(found)}")
    console.say(f"hint: on each host that has not followed yet: ETCD_API={new} calicoctl node")


def _api(words: Words, option: str) -> str:
    text = words.text(option)
    if text not in {etcd_access.V2, etcd_access.V3}:
        raise InvalidValue(option, text, f"{etcd_access.V2} or {etcd_access.V3}")
    return text


def _counted(found: Difference) -> str:
    return f"{len(found.new)} new, {len(found.changed)} changed, {len(found.extra)} removed"


def _export(path: Path, platform: RealPlatform, console: Console) -> None:
    content = transfer.content(platform.store)
    if not content:
        raise NotFound(f"etcd at {platform.store.address} has no {ROOT}")
    lines = [json.dumps({"key": key, "value": value}) for key, value in content.items()]
    separator = ",\n"
    text = f"{_HEAD}\n{separator.join(lines)}\n]}}\n"
    if files.exists(str(path)) or path.is_symlink():
        raise AlreadyExists(f"{path} exists already", hint="choose another name")
    kept = private_file.keep(path.name, text.encode(), [path.parent])
    if kept.path is None:
        raise CalicoError("; ".join(kept.refused))
    console.result(f"{len(content)} keys are in {path}")


def _import(path: str, platform: RealPlatform, console: Console) -> None:
    content = _parsed(text_files.read(path), path)
    found = transfer.load(platform.store, content)
    console.result(f"{len(found.new)} keys of {path} were written, {len(content)} are there")


def _parsed(text: str, path: str) -> Content:
    """Read what `export` writes. Raises InvalidValue."""
    try:
        items = [(each["key"], each["value"]) for each in json.loads(text)["items"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidValue(path, text[:40], "what `calicoctl datastore export` writes") from error
    for key, value in items:
        is_key = isinstance(key, str) and key.startswith(f"{ROOT}/") and "//" not in f"{key}/"
        if not is_key or not (value is None or isinstance(value, str)):
            raise InvalidValue(f"item in {path}", key, f"a key below {ROOT}, and a text or null")
    return dict(items)
