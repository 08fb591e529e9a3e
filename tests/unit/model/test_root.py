"""What an agent asks for before it knows the keys agrees with the keys."""

from calico_ctl.model import keys
from calico_ctl.model.root import APART_FROM_POLICY, ROOT


def test_all_is_below_the_root():
    for key in (keys.READY, keys.PROFILES, keys.HOSTS, keys.BGP, keys.IPAM, keys.STATUS):
        assert key.startswith(f"{ROOT}/")


def test_reports_and_assignments_are_apart_from_policy_and_nothing_else_is():
    for key in (keys.agent_status("h"), keys.handles(), keys.blocks(4), keys.affinities("h", 6)):
        assert key.startswith(APART_FROM_POLICY)
    for key in (keys.READY, keys.PROFILES, keys.HOSTS, keys.pools(4), keys.BGP_HOSTS):
        assert not f"{key}/".startswith(APART_FROM_POLICY)
