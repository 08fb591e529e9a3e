"""Random rules that the reader of rules would accept, for property tests."""

from hypothesis import strategies as st
from netaddr import IPNetwork

from calico_ctl.model import rule_json
from calico_ctl.model.rule import Action, Ports, Rule

NETS = {
    4: ("10.65.0.0/24", "10.0.0.0/8", "10.1.2.3/32", "0.0.0.0/0", "10.128.0.0/9"),
    6: ("fd80::/64", "fd80::1/128", "::/0", "fe80::/10", "fd80:0:0:8000::/49"),
}
PROTOCOLS = (None, "tcp", "udp", "sctp", "udplite", "icmp", "icmpv6", "47", "255")

# Not port 0: nft lists `th sport 0 th dport 0` as `@th,0,32 0x0`, which it could not read back.
_ports = st.tuples(st.integers(1, 65535), st.integers(1, 65535)).map(
    lambda ends: Ports(min(ends), max(ends))
)
_single = st.sampled_from([1, 22, 53, 80, 81, 443, 65535]).map(lambda port: Ports(port, port))
_port_lists = st.lists(st.one_of(_single, _ports), max_size=4).map(tuple)
_tags = st.one_of(st.none(), st.sampled_from(["web", "db", "a.b-c_d", "T" * 64]))
_icmp = st.one_of(st.none(), st.sampled_from([0, 8, 128, 135, 255]))


@st.composite
def _drawn(draw: st.DrawFn) -> Rule:
    protocol = draw(st.sampled_from(PROTOCOLS))
    family = {"icmp": 4, "icmpv6": 6}.get(protocol or "") or draw(st.sampled_from([4, 6]))
    nets = st.one_of(st.none(), st.sampled_from(NETS[family]).map(IPNetwork))
    with_ports = protocol in {None, "tcp", "udp", "sctp", "udplite"}
    icmp_type = draw(_icmp) if protocol in {"icmp", "icmpv6"} else None
    rule = Rule(
        action=draw(st.sampled_from(list(Action))),
        protocol=protocol,
        src_tag=draw(_tags),
        src_net=draw(nets),
        src_ports=draw(_port_lists) if with_ports else (),
        dst_tag=draw(_tags),
        dst_net=draw(nets),
        dst_ports=draw(_port_lists) if with_ports else (),
        icmp_type=icmp_type,
        icmp_code=draw(_icmp) if icmp_type is not None else None,
    )
    return rule_json.check(rule)


rules = _drawn()
