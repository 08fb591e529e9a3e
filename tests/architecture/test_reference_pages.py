"""Pages of docs/reference say of settings, exit codes and the table in nftables what the code has.

Other pages have theirs elsewhere: commands in test_manual.py, output in test_output_reference.py,
keys and rules in unit/test_documents.py, metrics and status beside what they describe.
"""

import ast
import re

from calico_ctl.errors import ExitCode
from calico_ctl.model import rule_text
from calico_ctl.model.address import FAMILIES
from calico_ctl.model.rule import Direction, Rules
from calico_ctl.policy import compile as policy
from calico_ctl.policy import layout
from scripts import manual
from tests.support.paths import CHECKOUT

REFERENCE = CHECKOUT / "docs/reference"
VARIABLE = re.compile(r"(ETCD|CALICO|DOCKER)_[A-Z_]+|NO_COLOR|TERM")
OF_CONTAINERS = {"CALICO_IP", "CALICO_PROFILE"}
"""What a container is created with: how-to/run-containers-through-the-proxy.md."""
OF_PACKAGES = {"DOCKER_CERT_PATH"}
"""What only Docker's library looks for."""


def first_cells(page: str, heading: str = "") -> list[str]:
    """The first cells of all tables of a page, or of one of its parts."""
    text = (REFERENCE / page).read_text()
    part = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0] if heading else text
    return re.findall(r"^\| (.+?) \|", part, re.MULTILINE)


def names(cells: list[str]) -> set[str]:
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def strings_in_the_code() -> set[str]:
    trees = (ast.parse(path.read_text()) for path in (CHECKOUT / "calico_ctl").rglob("*.py"))
    nodes = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {node.value for node in nodes if isinstance(node.value, str)}


def test_every_variable_that_is_read_is_among_the_settings_and_no_other() -> None:
    read = {each for each in strings_in_the_code() if VARIABLE.fullmatch(each)}
    assert names(first_cells("settings.md")) == read - OF_CONTAINERS | OF_PACKAGES


def test_every_exit_code_is_on_its_page_and_in_the_manual_and_no_other() -> None:
    codes = [cell for cell in first_cells("exit-codes.md") if cell.isdecimal()]
    assert codes == [str(int(code)) for code in ExitCode]
    page = manual.docs()
    for code in codes:
        assert f"\n- `{code}`: " in page


def test_every_command_whose_code_is_an_answer_is_a_command() -> None:
    told = names(first_cells("exit-codes.md", "Answers with a code"))
    assert len(told) > 4
    page = manual.docs()
    for words in told:
        assert f"calicoctl {words}" in page


def test_every_chain_and_set_of_the_table_is_on_its_page_and_no_other() -> None:
    ports = Rules((rule_text.parse(["allow tcp to ports 80,443"]),))
    chains = {
        *layout.static_chains(),
        *layout.tunnel_chains(),
        layout.TO_HOST_CHAIN,
        layout.MASQUERADE_CHAIN,
        *(policy.profile_chain("<profile>", each) for each in Direction),
        *(policy.endpoint_chain(["<list>"], each) for each in Direction),
    }
    sets = {
        *layout.static_sets(),
        *layout.host_sets([]),
        *(policy.tag_set("<tag>", family) for family in FAMILIES),
        *(name.replace("80.443", "<ports>") for name in policy.port_sets(ports)),
    }
    assert names(first_cells("nftables-layout.md")) == chains | sets
    text = (REFERENCE / "nftables-layout.md").read_text()
    assert all(f"`{each}`" in text for each in layout.DISPATCH)


def test_the_marks_of_the_table_are_those_on_its_page() -> None:
    text = (REFERENCE / "nftables-layout.md").read_text()
    assert re.findall(r"bit `(0x[0-9a-f]+)`", text) == [policy.ALLOWED, policy.ACCEPTED]
