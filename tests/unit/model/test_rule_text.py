import pytest
from hypothesis import given
from hypothesis import strategies as st
from netaddr import IPAddress, IPNetwork

from calico_ctl.errors import InvalidValue
from calico_ctl.model import rule_json, rule_text
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.rule import ICMP_PROTOCOLS, PORT_PROTOCOLS, Action, Ports, Rule

NAMES = st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True).filter(
    lambda x: x not in {".", ".."}
)
KEYWORDS = st.sampled_from(
    ["from", "to", "ports", "tag", "cidr", "type", "code", "allow", "10.0.0.1"]
)
TAGS = st.none() | KEYWORDS | NAMES
NUMBERS = st.integers(0, 255)
PORTS = st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(
    lambda pair: Ports(min(pair), max(pair))
)
PORT_LISTS = st.lists(PORTS, max_size=4).map(tuple)
OTHER_PROTOCOLS = (
    st.integers(1, 255).filter(lambda number: number not in {1, 6, 17, 58, 132, 136}).map(str)
)


def networks(version: Family) -> st.SearchStrategy[IPNetwork | None]:
    width = 32 if version == 4 else 128
    numbers = st.tuples(st.integers(0, 2**width - 1), st.integers(0, width))
    made = numbers.map(lambda pair: IPNetwork(f"{IPAddress(pair[0], version)}/{pair[1]}").cidr)
    # netaddr writes an IPv4 address into the lowest of IPv6, which no strict reader takes.
    return st.none() | made.filter(lambda net: version == 4 or "." not in str(net))


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """Any rule that JSON can hold."""
    protocol = draw(st.none() | st.sampled_from(PORT_PROTOCOLS + ICMP_PROTOCOLS) | OTHER_PROTOCOLS)
    families = {"icmp": st.just(FAMILIES[0]), "icmpv6": st.just(FAMILIES[1])}
    version = draw(families.get(protocol or "", st.sampled_from(FAMILIES)))
    has_ports = protocol is None or protocol in PORT_PROTOCOLS
    ports = PORT_LISTS if has_ports else st.just(())
    icmp_type = draw(st.none() | NUMBERS) if protocol in ICMP_PROTOCOLS else None
    return Rule(
        action=draw(st.sampled_from(Action)),
        protocol=protocol,
        src_tag=draw(TAGS),
        src_net=draw(networks(version)),
        src_ports=draw(ports),
        dst_tag=draw(TAGS),
        dst_net=draw(networks(version)),
        dst_ports=draw(ports),
        icmp_type=icmp_type,
        icmp_code=None if icmp_type is None else draw(st.none() | NUMBERS),
    )


@given(rules())
def test_every_rule_that_json_can_hold_is_read_back_from_its_words(rule) -> None:
    assert rule_json.rule_from_object(rule_json.rule_to_object(rule)) == rule
    assert rule_text.parse(rule_text.format_rule(rule).split()) == rule


@given(st.lists(KEYWORDS | st.text(max_size=8), max_size=9))
def test_any_words_are_a_rule_or_an_invalid_value(words) -> None:
    try:
        rule = rule_text.parse(words)
    except InvalidValue:
        return
    assert rule_text.parse(rule_text.format_rule(rule).split()) == rule


def test_every_criterion_has_its_place() -> None:
    words = "deny tcp from ports 80,1:2 tag web cidr 10.0.0.0/8 to ports 443 tag db cidr 11.0.0.0/8"
    assert rule_text.parse(words.split()) == Rule(
        Action.DENY,
        "tcp",
        "web",
        IPNetwork("10.0.0.0/8"),
        (Ports(80, 80), Ports(1, 2)),
        "db",
        IPNetwork("11.0.0.0/8"),
        (Ports(443, 443),),
    )
    assert rule_text.format_rule(rule_text.parse(words.split())) == words


def test_an_action_alone_is_a_rule() -> None:
    assert rule_text.parse(["allow"]) == Rule()


def test_a_quoted_rule_comes_as_one_word() -> None:
    assert rule_text.parse(["allow tcp to ports 80"]) == Rule(
        protocol="tcp", dst_ports=(Ports(80, 80),)
    )


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("allow from 10.65.0.0/24", "allow from cidr 10.65.0.0/24"),
        ("deny from ports 80 tag a fd80::/64 to", "deny from ports 80 tag a cidr fd80::/64"),
        ("allow tcp to ports 8000-8080", "allow tcp to ports 8000:8080"),
        ("allow TCP from to", "allow tcp"),
        ("allow 6", "allow tcp"),
        ("allow from cidr 10.65.1.2", "allow from cidr 10.65.1.2/32"),
    ],
)
def test_other_spellings_mean_the_same(short, full) -> None:
    assert rule_text.format_rule(rule_text.parse(short.split())) == full


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "word 1 of the rule '': expected 'allow' or 'deny'"),
        ("permit", "word 1 of the rule 'permit': expected 'allow' or 'deny'"),
        ("allow form tag web", "word 2 of the rule 'form': expected a protocol"),
        ("allow tcp form tag web", "word 3 of the rule 'form': expected 'from', 'to' or the end"),
        ("allow tcp type 8", "word 3 of the rule 'type': expected 'from'"),
        (
            "allow icmp code 0",
            "word 3 of the rule 'code': expected 'type', 'from', 'to' or the end",
        ),
        ("allow tcp to tag a ports 80", "word 6 of the rule 'ports': expected 'cidr' or the end"),
        ("allow to tag a from tag b", "word 5 of the rule 'from': expected 'cidr' or the end"),
        ("allow from web", "word 3 of the rule 'web': expected 'ports', 'tag', 'cidr', 'to'"),
        ("allow tcp from ports", "rule 'allow tcp from ports': expected a value after 'ports'"),
        ("allow icmp type 256", "ICMP type or code '256': expected a number from 0 to 255"),
        ("allow icmp type x", "ICMP type or code 'x'"),
        ("allow tcp to ports 65536", "port '65536': expected 0 to 65535"),
        ("allow tcp to ports 90:80", "port range '90:80'"),
        ("allow tcp to ports 80,", "port ''"),
        ("allow icmp to ports 80", "protocol 'icmp': expected tcp or udp"),
        ("allow 256", "protocol '256'"),
        ("allow from tag a/b", "tag 'a/b'"),
        ("allow from cidr 10.0.0.0/33", "CIDR '10.0.0.0/33'"),
        ("allow from cidr 10.0.0.0/8 to cidr fd80::/64", "the family of src_net"),
    ],
)
def test_a_word_that_does_not_fit_is_named_with_what_could_stand_there(words, message) -> None:
    with pytest.raises(InvalidValue) as caught:
        rule_text.parse(words.split())
    assert message in caught.value.message
