"""What people type by mistake, or to see what happens: refused in words, and nothing is written.

Most of it runs in this process on a store in memory; what depends on a real process, its arguments
and its stdin, runs as one against a real etcd.
"""

from collections.abc import Callable

import pytest

from tests.support.cli import Cli
from tests.support.machine import FakeDocker

BAD_ADDRESSES = (
    *("", " ", "10", "10.1", "127.1", "4294967295", "010.0.0.1", "10.0.0.01", "10.0.0.256"),
    *("10.0.0.1 ", "0x0a000001", "\u0661\u0660.0.0.1", "10.0.0.-1", "10.0.0.1\n", "fe80::1%eth0"),
    *("::ffff:10.0.0.1", "::10.0.0.1", "fd80:::1", "fd80::g", "fd80::1::2", "1.2.3.4.5", "web/.."),
)
BAD_CIDRS = (
    *("10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/08", "10.0.0.0/255.255.0.0", "/16"),
    *("10.0.0.0/16/8", "fd80::/129", "10.0.0.0/1e1", "10/8", "010.0.0.0/8", "10.0.0.0 /8"),
    *("10.0.0.1/8", "fd80::1/64"),
)
NOT_FOR_POOLS = (
    *("0.0.0.0/0", "::/0", "127.0.0.0/8", "224.0.0.0/4", "169.254.0.0/16", "255.255.255.255/32"),
    *("fe80::/64", "ff02::/16", "::1/128"),
)
BAD_PORTS = ("65536", "80:70", "-1", "80-", ":80", "80:90:99", "", ",", "80,,81", "http", "8" * 99)
BAD_NAMES = (
    "",
    "a" * 65,
    "ä",
    "../x",
    ".",
    "..",
    "a/b",
    "a\n",
    "\n",
    "a b",
    "a\0b",
    "web;ls",
    "🐄",
)
BAD_RULES = (
    *("", "permit", "allow tcp to ports", "allow ports 80", "allow to tag a/b"),
    *("allow icmp type 256", "allow icmp code 1", "allow icmp type -1", "allow icmp to ports 1"),
    *("allow 256", "allow 0 to ports 1", "allow from cidr 10.0.0.0/33", "allow to from tag a"),
    *(
        "allow from cidr 10.0.0.0/8 to cidr fd80::/64",
        "allow icmpv6 from cidr 10.0.0.0/8",
        "deny x",
    ),
    *(
        "allow from cidr 10.0.0.0/33 to cidr 10.0.0.0/8",
        "allow to tag a from tag b",
        "allow tcp udp",
    ),
)
BAD_JSON = (
    *("", "{", "[]", "null", "7", "nonsense", "{}", '{"inbound": []}', '{"inbound": {}}', "\0"),
    *('{"inbound": [], "outbound": NaN}', '{"inbound": [], "outbound": [{"icmp_type": 1e400}]}'),
    *('{"inbound": [], "outbound": [{"protocol": 6.0}]}', '{"inbound": "", "outbound": []}'),
    *("[" * 100_000, '{"inbound": ' + "[" * 100_000, '{"a": ' * 100_000),
    *('{"inbound": [], "outbound": [], "inbound": []}', '{"inbound": [], "outbound": []} x'),
    *('{"id": 7, "inbound": [], "outbound": []}', '{"inbound": [7], "outbound": []}'),
    '{"inbound": [], "outbound": [{"src_tag": "' + "a" * 10_000_000 + '"}]}',
)


@pytest.fixture(scope="module")
def cli() -> Cli:
    """Two profiles, a pool, an endpoint: enough that something could be changed by mistake."""
    made = Cli()
    made.platform.docker = FakeDocker()
    for name in ("web", "db"):
        made.done("profile", "add", name)
    made.done("pool", "add", "10.65.0.0/16")
    made.endpoint("e1", "10.65.0.1", profiles=("web",))
    return made


def each(values: tuple[str, ...], *shapes: Callable[[str], list[str]]) -> list[list[str]]:
    return [shape(value) for shape in shapes for value in values]


def refused(cli: Cli, words: list[str], stdin: str = "") -> None:
    """Refused with an error and perhaps a hint, in few lines, and nothing was written."""
    writes = cli.store.writes
    err = cli.refused(*words, stdin=stdin)
    assert err.startswith("error: "), (words, err)
    assert len(err) < 4000, words
    assert cli.store.writes == writes, words


@pytest.mark.parametrize("position", [0, 1, 2])
def test_one_bad_word_in_any_place_of_a_list_keeps_all_of_it_from_happening(cli, position) -> None:
    for bad in (*BAD_ADDRESSES, *BAD_CIDRS, *NOT_FOR_POOLS):
        good = ["10.1.0.0/16", "fd80:1::/64"]
        good.insert(position, bad)
        refused(cli, ["pool", "add", "--", *good])
        refused(cli, ["pool", "remove", "--", *good])
    for bad in (*BAD_NAMES, "nosuch", "web"):
        good = ["web", "db"]
        good.insert(position, bad)
        for verb in ("append", "set"):
            refused(cli, ["endpoint", "e1", "profile", verb, "--", *good])


def test_T27_addresses_that_are_none_are_refused_wherever_one_is_meant(cli) -> None:
    for words in each(
        BAD_ADDRESSES,
        lambda bad: ["pool", "range", "add", "--", bad, "10.9.0.0"],
        lambda bad: ["pool", "range", "add", "--", "10.9.0.0", bad],
        lambda bad: ["container", "add", "--", "web", bad],
        lambda bad: ["container", "--", "web", "ip", "add", bad],
        lambda bad: ["container", "--", "web", "ip", "remove", bad],
        lambda bad: ["profile", "web", "rule", "add", "inbound", f"allow from cidr {bad} tag x"],
    ):
        refused(cli, words)


def test_ports_and_rules_that_make_no_sense_are_refused(cli) -> None:
    for ports in BAD_PORTS:
        for side in ("from", "to"):
            words = f"allow tcp {side} ports {ports} tag x".split(" ")
            refused(cli, ["profile", "web", "rule", "add", "inbound", "--", *words])
    for rule in BAD_RULES:
        for verb in ("add", "remove"):
            refused(cli, ["profile", "web", "rule", verb, "inbound", rule])


def test_names_that_are_none_are_refused_wherever_one_is_meant(cli) -> None:
    for words in each(
        BAD_NAMES,
        lambda bad: ["profile", "add", "--", bad],
        lambda bad: ["profile", "remove", "--", bad],
        lambda bad: ["profile", "remove", "--no-check", "--", bad],
        lambda bad: ["profile", "--", bad, "tag", "show"],
        lambda bad: ["profile", "--", bad, "rule", "show"],
        lambda bad: ["profile", "web", "tag", "add", "--", bad],
        lambda bad: ["profile", "web", "tag", "remove", "--", bad],
        lambda bad: ["container", "add", "--", bad, "ipv4"],
        lambda bad: ["container", "--", bad, "endpoint", "show"],
        lambda bad: ["endpoint", "--", bad, "profile", "show"],
        lambda bad: ["endpoint", "--", bad, "profile", "set", "db"],
    ):
        refused(cli, words)


@pytest.mark.parametrize("text", BAD_JSON, ids=lambda text: repr(text[:40]))
def test_json_that_is_no_rules_is_refused(cli, text) -> None:
    refused(cli, ["profile", "web", "rule", "update"], stdin=text)


def test_words_like_options_are_no_names(cli) -> None:
    for words in (
        ["profile", "add", "-rf"],
        ["profile", "-rf", "tag", "show"],
        ["pool", "add", "-1"],
        ["endpoint", "-rf", "profile", "show"],
        ["container", "add", "-rf", "ipv4"],
    ):
        refused(cli, words)


def test_as_processes_they_are_refused_too_and_etcd_stays_as_it_was(shell, etcd) -> None:
    shell.done("profile add web")
    before = etcd.keys()
    for line in (
        "pool add 10.1.0.0/16 fd80::/64 --ipip",
        "pool add 10.1.0.0/16 ''",
        "profile add ../../config",
        "profile add '\udce4'",
        "profile web rule add inbound allow tcp to ports 80,65536",
        "endpoint ../x profile show",
        "container 'a b' endpoint show",
    ):
        shell.refused(line)
    shell.refused("profile web rule update", stdin='{"inbound": ' + "[" * 100_000)
    assert etcd.keys() == before
