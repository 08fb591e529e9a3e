"""Create requests as strange as JSON permits, for hypothesis: names in any case, twice, null."""

import json
from typing import Any

from hypothesis import strategies as st

from tests.support import go_json

_ENVIRONMENT = ["CALICO_IP=10.65.0.1", "CALICO_IP=auto", "CALICO_PROFILE=web", "COLOUR=blue", "A="]
_NETWORKS = ["host", "bridge", "none", "default", "", "container:web", "lan"]
_ODD_LETTERS = {"k": "kK\u212a", "s": "sS\u017f"}


def bodies(images: list[str], *, refused: bool = True) -> st.SearchStrategy[bytes]:
    """Bodies of create requests; with `refused` also ones in which a value is of another kind."""
    config: dict[str, st.SearchStrategy[str]] = {
        "Image": st.sampled_from(images).map(json.dumps),
        "Env": _lists(_ENVIRONMENT),
        "Cmd": _lists(["true", "sleep 1"]),
        "Labels": _objects({"a": st.just('"1"'), "b": st.just('"2"')}, exact=True),
        "MacAddress": st.just('"02:42:00:00:00:05"'),
        "Unknown": st.sampled_from(["1", "[1.50]", '{"a":null}', "12345678901234567890123"]),
    }
    host: dict[str, st.SearchStrategy[str]] = {
        "NetworkMode": st.sampled_from(_NETWORKS).map(json.dumps),
        "PortBindings": _objects({"80/tcp": st.just('[{"HostPort":"0"}]')}, exact=True),
        "PublishAllPorts": st.sampled_from(["true", "false"]),
        "DnsSearch": _lists(["one", "two"]),
        "Memory": st.sampled_from(["6291456", "0", "9999999999"]),
        "UnknownToo": st.just("1e2"),
    }
    networking = {"EndpointsConfig": _objects({"bridge": st.just("{}")}, exact=True)}
    if refused:
        config["NetworkDisabled"] = st.sampled_from(["true", "false"])
        host["Links"] = _lists(["web:web"])
        for fields in (config, host, networking):
            for name, values in fields.items():
                fields[name] = values | st.sampled_from(["5", "true", '"x"', "[[]]", '{"x":1}'])
    top = config | {
        "HostConfig": _objects(host),
        "NetworkingConfig": _objects(networking),
        "Memory": host["Memory"],
        "DnsSearch": host["DnsSearch"],
    }
    return _objects(top, most=8).map(str.encode)


def _lists(words: list[str]) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from([*words, *words, None]), max_size=4).map(json.dumps)


def _objects(
    fields: dict[str, st.SearchStrategy[str]], *, exact: bool = False, most: int = 5
) -> st.SearchStrategy[str]:
    """Texts of objects with any of the fields, any number of times, each perhaps null."""
    pairs = st.sampled_from(sorted(fields)).flatmap(
        lambda name: st.tuples(
            st.just(json.dumps(name)) if exact else _in_any_case(name),
            st.just("null") | fields[name] | fields[name],
        )
    )
    spaces = st.sampled_from(["", " ", "\n\t"])
    return st.tuples(st.lists(pairs, max_size=most), spaces).map(_written)


def _written(drawn: tuple[list[tuple[str, str]], str]) -> str:
    pairs, space = drawn
    return "{" + f"{space},".join(f"{key}{space}:{raw}" for key, raw in pairs) + space + "}"


def _in_any_case(name: str) -> st.SearchStrategy[str]:
    letters = [_ODD_LETTERS.get(c.lower(), c.lower() + c.upper()) for c in name]
    odd = st.tuples(*map(st.sampled_from, letters)).map("".join)
    return (st.just(name) | odd).flatmap(
        lambda key: st.sampled_from([json.dumps(key), json.dumps(key, ensure_ascii=False)])
    )


def without_network(create: go_json.Create) -> go_json.Create:
    """Return what shall be left of a request when its network is taken from it."""
    config = _less(create.config, "MacAddress", "NetworkDisabled")
    host = _less(create.host, "Links") | {"NetworkMode": "none"}
    networking = _less(create.networking, "EndpointsConfig")
    return go_json.Create(config, host, networking, has_host=True)


def _less(struct: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in struct.items() if name not in names}
