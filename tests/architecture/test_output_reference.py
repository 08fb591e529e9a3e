"""docs/reference/output.md says what the commands give as JSON."""

import ast
import json

import pytest

from calico_ctl.host.clock import SystemClock
from calico_ctl.model import manifest
from tests.support import output_reference
from tests.support.cli import Cli
from tests.support.machine import FakeDocker
from tests.support.paths import CHECKOUT

SHOWS = [
    ("profile", "profile show"),
    ("profile", "profile show --detailed"),
    ("list", "export profile"),
    ("tag", "profile web tag show"),
    ("rule", "profile web rule show"),
    ("pool", "pool show"),
    ("list", "export pool"),
    ("list", "export"),
    ("endpoint", "endpoint show --detailed"),
    ("endpoint_summary", "endpoint show"),
    ("endpoint_profile", "endpoint e1 profile show"),
    ("bgp_peer", "bgp peer show"),
    ("bgp_peer", "node bgp peer show"),
    ("route_reflector", "bgp route-reflector show"),
    ("address", "ipam info 10.65.0.1"),
    ("finding", "ipam check --wait=0s"),
    ("status", "status"),
    ("explanation", "explain 10.65.0.1 10.65.0.2"),
]


@pytest.fixture
def cli() -> Cli:
    cli = Cli()
    cli.platform.clock = SystemClock()
    cli.platform.docker = FakeDocker()
    for line in (
        "profile add web",
        "profile web rule add inbound allow tcp from cidr 10.0.0.0/8 to ports 80",
        "pool add 10.65.0.0/16",
        "bgp peer add 10.99.0.1 as 65000",
        "node bgp peer add 10.99.0.2 as 65000",
        "bgp route-reflector add 10.99.0.3 cluster 1.0.0.1",
    ):
        cli.done(*line.split())
    cli.endpoint("e1", "10.65.0.1", profiles=("web",))
    cli.done("ipam", "check", "--fix", "--wait=0s")
    cli.endpoint("e2", "10.65.0.2", profiles=("web",))
    return cli


@pytest.mark.parametrize(("kind", "line"), SHOWS)
def test_the_items_of_a_show_have_the_fields_that_are_documented(cli, kind, line) -> None:
    shown = json.loads(cli.run(*line.split(), "--output=json").out)
    assert (shown["schema"], shown["kind"]) == (1, kind)
    assert shown["items"]
    for item in shown["items"]:
        output_reference.check(kind, item)


def kinds_in_the_code() -> set[str]:
    """The kinds of all listings, and of objects that say themselves what they are."""
    found: set[str] = set()
    for path in (CHECKOUT / "calico_ctl/commands").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Listing"):
                found.add(kind_of(node.args[0]))
            elif isinstance(node, ast.Dict):
                fields = dict(zip(map(named, node.keys), node.values, strict=True))
                if "schema" in fields and isinstance(kind := fields.get("kind"), ast.Constant):
                    found.add(kind_of(kind))
    return found


def kind_of(expression: ast.expr) -> str:
    if isinstance(expression, ast.Constant):
        return str(expression.value)
    assert ast.unparse(expression) == "manifest.LIST", "write the kind where the listing is made"
    return manifest.LIST


def named(key: ast.expr | None) -> str:
    return str(key.value) if isinstance(key, ast.Constant) else ""


def test_every_kind_is_documented_and_no_other() -> None:
    assert set(output_reference.kinds()) == kinds_in_the_code()
