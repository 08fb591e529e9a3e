"""Documents: links lead somewhere, every page is found from the first, and they fit the code."""

import functools
import json
import re
from pathlib import Path

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.errors import InvalidValue
from calico_ctl.model import codec, keys, manifest, rule_json, rule_text
from calico_ctl.model.address import Family
from calico_ctl.model.endpoint import EndpointKey
from calico_ctl.model.pool import Pool
from calico_ctl.model.profile import Profile
from calico_ctl.model.rule import NAMED_PROTOCOLS, Action, Rule, Rules
from tests.support import document
from tests.support.command import Result
from tests.support.document import Step
from tests.support.host import Host
from tests.support.paths import CHECKOUT

DOCS = CHECKOUT / "docs"
INDEX = DOCS / "index.md"
PAGES = sorted(
    [*CHECKOUT.glob("*.md"), *DOCS.rglob("*.md"), *(CHECKOUT / "examples").rglob("*.md")]
)
RULES = DOCS / "reference/rule-language.md"
LAYOUT = DOCS / "reference/etcd-layout.md"


@functools.cache
def links(page: Path) -> list[str]:
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`\n]*`(?!\])", "", text)
    return [each for each in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in each]


def target(page: Path, link: str) -> Path:
    path = link.partition("#")[0]
    return (page.parent / path).resolve() if path else page


@functools.cache
def anchors(page: Path) -> set[str]:
    """The names by which GitHub lets one link to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", each).lower() for each in headings]
    return {re.sub(r"[^\w\- ]", "", each).replace(" ", "-") for each in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_links_lead_somewhere(page):
    for link in links(page):
        there = target(page, link)
        assert there.exists(), link
        _, mark, anchor = link.partition("#")
        assert not mark or anchor in anchors(there), link


def test_every_page_is_found_from_the_index():
    found, waiting = {INDEX}, [INDEX]
    while waiting:
        page = waiting.pop()
        for there in (target(page, link) for link in links(page)):
            # a link to a directory shows what is in it
            reached = there.glob("*.md") if there.is_dir() else [there]
            new = {each for each in reached if each.suffix == ".md"} - found
            found |= new
            waiting += [each for each in new if each.is_relative_to(DOCS)]
    assert sorted(set(DOCS.rglob("*.md")) - found) == []


def test_the_readme_leads_to_the_index_and_is_short():
    readme = CHECKOUT / "README.md"
    assert INDEX in {target(readme, link) for link in links(readme)}
    assert len(readme.read_text().splitlines()) <= 120


def test_examples_are_named_on_the_index_and_are_programs():
    linked = {target(INDEX, link) for link in links(INDEX)}
    programs = set((CHECKOUT / "examples").glob("*.sh"))
    assert len(programs) >= 3
    assert programs <= linked
    assert [each for each in programs if not each.stat().st_mode & 0o111] == []


def rows(page: Path, heading: str) -> list[list[str]]:
    part = page.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_rules_on_the_page_are_what_the_page_says():
    examples = rows(RULES, "Examples")
    used: set[str] = set()
    for text, shown in examples:
        rule = rule_text.parse([text.strip("`")])
        assert rule_json.rule_to_object(rule) == json.loads(shown.strip("`")), text
        assert rule_text.parse([rule_text.format_rule(rule)]) == rule
        used |= json.loads(shown.strip("`")).keys()
    every_field = rule_text.parse(["allow icmp type 8 code 0 from tag a cidr 10.0.0.0/8"])
    assert rule_json.rule_to_object(every_field).keys() < used
    assert len(examples) > 10


def test_rules_that_the_page_calls_refused_are():
    refused = rows(RULES, "Refused")
    for text, _ in refused:
        with pytest.raises(InvalidValue):
            rule_text.parse([text.strip("`")])
    assert len(refused) > 5


def test_the_page_of_the_rules_has_their_grammar_and_every_field_and_protocol():
    text = RULES.read_text()
    grammar = re.search(r"```\n(.*?)```", text, re.DOTALL)
    in_code = re.search(r"\n\n( +\(allow\|deny\).*?)\n\n", rule_text.__doc__ or "", re.DOTALL)
    assert grammar
    assert in_code
    assert grammar[1].split() == in_code[1].split()
    with pytest.raises(InvalidValue) as refusal:
        rule_json.rule_from_object({"nonsense": 1})
    fields = refusal.value.expected.removeprefix("one of ").split(", ")
    assert len(fields) == 10
    for name in (*fields, *NAMED_PROTOCOLS):
        assert f"`{name}`" in text


def documented_keys() -> set[str]:
    text = LAYOUT.read_text()
    cells = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `/calico")]
    return {key for cell in cells for key in re.findall(r"`(/calico[^`]*)`", cell)}


FAMILIES: dict[Family, IPNetwork] = {4: IPNetwork("10.65.0.0/26"), 6: IPNetwork("fd00::/122")}
ENDPOINT = EndpointKey("<hostname>", "<orchestrator>", "<workload>", "<endpoint>")


def test_every_key_is_on_the_page_of_the_keys_and_no_other():
    made = {
        keys.READY,
        keys.NODE_MESH,
        keys.DEFAULT_AS,
        keys.profile("<profile>"),
        keys.profile_tags("<profile>"),
        keys.profile_rules("<profile>"),
        keys.endpoint(ENDPOINT),
        keys.host_address("<hostname>", 4),
        keys.host_address("<hostname>", 6),
        keys.host_config("<hostname>", "<setting>"),
        keys.global_config("<setting>"),
        keys.handle("<owner>"),
        keys.bgp_host_as("<hostname>"),
        keys.bgp_setting("<setting>"),
        keys.bgp_setting("<setting>", "<hostname>"),
        keys.agent_status("<hostname>"),
        keys.service_status("<hostname>", "<service>"),
        keys.endpoint_status(ENDPOINT),
    }
    general = set()
    for family, cidr in FAMILIES.items():
        peer = IPAddress(cidr.first + 1, family)
        for key in (
            keys.pool(cidr),
            keys.block(cidr),
            keys.affinity("<hostname>", cidr),
            keys.bgp_host_address("<hostname>", family),
            keys.bgp_peer(peer),
            keys.bgp_peer(peer, "<hostname>"),
            keys.reflector(peer),
        ):
            shown = key.replace(keys.dashed(cidr), "<C>").replace(f"/{peer}", "/<address>")
            general.add(re.sub(rf"(?<=v){family}(?=/|$)", "<N>", shown))
    assert made | general == documented_keys()


def test_every_kind_of_key_that_daemons_follow_is_on_that_page():
    values = {"<C>": "10.65.0.0-26", "<N>": "4", "<address>": "10.0.0.1"}
    parsed = set()
    for key in documented_keys():
        concrete = functools.reduce(lambda text, each: text.replace(*each), values.items(), key)
        found = keys.parse(re.sub(r"<\w+>", "x", concrete))
        parsed |= {found.leaf} if found else set()
    assert parsed == set(keys.Leaf)


def test_values_on_the_page_of_the_keys_can_be_read():
    blocks = re.findall(r"```json\n(.*?)```", LAYOUT.read_text(), re.DOTALL)
    endpoint = codec.decode_endpoint(EndpointKey("h", "docker", "w", "e"), blocks[0])
    assert json.loads(codec.encode_endpoint(endpoint)) == json.loads(blocks[0])
    text = LAYOUT.read_text()
    peer = re.search(r'`(\{"ip": "[^`]*"as_num[^`]*)`', text)
    reflector = re.search(r'`(\{"ip": "[^`]*"cluster_id[^`]*)`', text)
    assert peer
    assert reflector
    assert codec.decode_bgp_peer(IPAddress("10.99.0.254"), peer[1]).as_number == 65000
    cluster = codec.decode_reflector(IPAddress("10.99.0.3"), reflector[1]).cluster_id
    assert str(cluster) == "1.0.0.1"


def test_manifests_on_their_page_are_ones_and_have_every_option_of_a_pool():
    text = (DOCS / "reference/manifest.md").read_text()
    blocks = re.findall(r"```(yaml|json)\n(.*?)```", text, re.DOTALL)
    kinds = {
        type(stated.thing)
        for language, block in blocks
        for stated in manifest.read(block, f"page.{language}")
    }
    assert kinds == {Profile, Pool}
    assert [word for word in manifest.POOL_FIELDS if f"`{word}`" not in text] == []


def test_manifests_in_examples_are_ones():
    program = (CHECKOUT / "examples/quarantine.sh").read_text()
    text = program.partition("<<'END'\n")[2].partition("\nEND\n")[0]
    (stated,) = manifest.read(text, "quarantine.sh")
    assert isinstance(stated.thing, Profile)
    assert stated.thing.rules == Rules((Rule(Action.DENY),), (Rule(Action.DENY),))


PAGE = """# A page

```console
host1$ echo one \\
  two
one two
host2$ true
```

```sh
a=1
echo $a
```

```text
1
```

<!-- not run: somebody else's -->
```sh
false
```

```sh
true
```
"""


def test_what_a_page_tells_to_type_is_found_with_its_answers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert document.steps(page) == [
        Step("page.md:4", "host1", "echo one \\\n  two", "one two"),
        Step("page.md:4", "host2", "true", ""),
        Step("page.md:11", "host1", "a=1\necho $a", "1"),
        Step("page.md:25", "host1", "true", None),
    ]


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("up", "up\n", True),
        ("up", "down\n", False),
        ("up", "up\nand down\n", False),
        ("a   b", "a b \n", True),
        ("time=... ms", "time=0.1 ms", True),
        ("time=... ms", "time=0.1 s", False),
        ("first\n...", "first\nand\nmore\n", True),
        ("first\n...", "first\n", True),
        ("...\nlast", "first\nlast\n", True),
        ("a.c", "abc", False),
        ("+------+", "+---------+", True),
        ("16:20:07 web", "09:01:59 web", True),
        ("16:20:07 web", "now web", False),
        (f"endpoint {'0a' * 16} on host1", f"endpoint {'b1' * 16} on host1", True),
        (f"endpoint {'0a' * 16} on host1", f"endpoint {'b1' * 16} on host2", False),
        ("from 10.0.0.1:41544 -> 10.0.0.2:80", "from 10.0.0.1:51000 -> 10.0.0.2:80", True),
        ("from 10.0.0.1:41544 -> 10.0.0.2:80", "from 10.0.0.1:41544 -> 10.0.0.2:81", False),
        ("file: /a (24 KiB)", "file: /a (1.2 MiB)", True),
        ("file: /a (24 KiB)", "file: /a (none)", False),
        ("| pools with --ipip | ok |", "| pools with --ipip | warning |", True),
        ("| a port for BGP | ok |", "| a port for BGP | failed |", False),
        ("`kill 976` ends it", "`kill 12` ends it", True),
    ],
)
def test_an_answer_is_as_shown_but_for_dots_and_spaces(shown, printed, same):
    assert document.matches(shown, printed) is same


class Terminal(Host):
    """A host on which every command says and does the same."""

    def __init__(self, printed: str, code: int) -> None:
        super().__init__(1, Path(), "")
        self.result = Result("", code, printed, "")

    def run(self, *_line: object, **_options: object) -> Result:
        return self.result


@pytest.mark.parametrize(
    ("shown", "printed", "code", "well"),
    [
        ("done", "done", 0, True),
        ("...", "done", 0, True),
        ("...", "refused", 1, False),
        ("", "", 0, True),
        ("", "surprise", 0, False),
        ("", "", 1, False),
        ("no answer", "no answer", 1, True),
    ],
)
def test_a_page_is_right_if_commands_answer_as_it_shows(tmp_path, shown, printed, code, well):
    page = tmp_path / "page.md"
    page.write_text(f"```console\nhost1$ act\n{shown}\n```\n")
    terminal = Terminal(printed, code)
    if well:
        assert document.play(page, {"host1": terminal}) == 1
        return
    with pytest.raises(AssertionError, match=r"page\.md:2: on host1"):
        document.play(page, {"host1": terminal})


class Bundler(Host):
    """A host that gives a file, under another name each time, and remembers what is typed."""

    def __init__(self) -> None:
        super().__init__(1, Path(), "")
        self.typed = ""

    def run(self, what: object, **_options: object) -> Result:
        self.typed += str(what)
        return Result("", 0, "file: /tmp/diags-host1-20261129-200000-aaaaaaaa.tgz (1 B)\n", "")


def test_what_is_different_each_time_is_typed_as_it_really_was(tmp_path):
    page, host = tmp_path / "page.md", Bundler()
    file = "/tmp/diags-host1-20260301-123005-5f0c2a91.tgz"
    page.write_text(
        f"```console\nhost1$ diags\nfile: {file} (24 KiB)\nhost1$ ls {file}\n...\n```\n"
    )
    document.play(page, {"host1": host})
    assert "\nls /tmp/diags-host1-20261129-200000-aaaaaaaa.tgz\n" in host.typed


def test_pages_that_system_tests_follow_have_no_block_that_nobody_types():
    followed = [*(DOCS / "tutorials").glob("*.md"), *map(DOCS.joinpath, FOLLOWED)]
    for page in followed:
        blocks = list(document.blocks(page.read_text()))
        assert {each.language for each in blocks} <= {"console", "sh", "text", ""}, page
        assert sum(not each.is_run for each in blocks) <= 1, page
        assert len(document.steps(page)) > 5, page


def test_an_answer_without_a_question_is_an_error(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```sh\ntrue\n```\n\nAnd then:\n\n```text\nlost\n```\n")
    with pytest.raises(AssertionError, match=r"page\.md:8 is nobody's answer"):
        document.steps(page)


FOLLOWED = (
    "how-to/keep-policy-in-git.md",
    "how-to/peer-with-a-router.md",
    "how-to/add-a-container.md",
    "how-to/use-ipv6.md",
    "how-to/isolate-with-profiles.md",
    "how-to/integrate-an-orchestrator.md",
    "how-to/collect-diagnostics.md",
    "how-to/why-is-my-traffic-dropped.md",
)
