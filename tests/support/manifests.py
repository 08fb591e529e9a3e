"""Random profiles and pools that etcd could hold, for property tests."""

from collections.abc import Sequence

from hypothesis import strategies as st
from netaddr import IPNetwork

from calico_ctl.model import pool
from calico_ctl.model.pool import Pool
from calico_ctl.model.profile import Profile
from calico_ctl.model.rule import Rules
from tests.support.rules import rules

# Words that YAML 1.1 or 1.2 would read as something else, and words of the rule language.
_TREACHEROUS = (
    *("no", "on", "y", "null", "true", "1e3", "012", "0x1f", "1_000", "-1", "80", "0.5", "0o17"),
    *("2024-01-01", "-", "--", "---", "...", "from", "tag", "cidr", "NaN", ".inf"),
)

names = st.one_of(
    st.sampled_from(_TREACHEROUS),
    st.from_regex(r"[A-Za-z0-9.-][A-Za-z0-9_.-]{0,63}", fullmatch=True),
).filter(lambda name: name not in {".", ".."})

_rule_lists = st.lists(rules, max_size=3).map(tuple)

profiles = st.builds(
    Profile,
    name=names,
    tags=st.lists(names, max_size=4, unique=True).map(tuple),
    rules=st.builds(Rules, inbound=_rule_lists, outbound=_rule_lists),
)

_CIDRS = ("10.65.0.0/16", "10.66.0.0/24", "192.0.2.1/32", "fd80:66::/64", "fd80:67::1/128")


@st.composite
def _pool(draw: st.DrawFn) -> Pool:
    cidr = IPNetwork(draw(st.sampled_from(_CIDRS)))
    tunnels = ["", "vxlan", "ipip"] if cidr.version == 4 else ["", "vxlan"]
    tunnel = draw(st.sampled_from(tunnels))
    made = Pool(
        cidr,
        ipip=tunnel == "ipip",
        vxlan=tunnel == "vxlan",
        cross_subnet=bool(tunnel) and draw(st.booleans()),
        masquerade=draw(st.booleans()),
        disabled=draw(st.booleans()),
    )
    return pool.check(made)


pools = _pool()

things: st.SearchStrategy[Sequence[Profile | Pool]] = st.tuples(
    st.lists(pools, max_size=3, unique_by=lambda each: each.cidr),
    st.lists(profiles, max_size=4, unique_by=lambda each: each.name),
).map(lambda both: [*both[0], *both[1]])
