"""What etcd holds is read as agents read it; what `apply` would make of it is not written."""

import pytest
from netaddr import IPNetwork

from calico_ctl.datastore import profiles, status
from calico_ctl.datastore.status import AgentStatus
from calico_ctl.errors import Conflict
from calico_ctl.model import keys
from calico_ctl.model.manifest import Stated
from calico_ctl.model.pool import Pool
from calico_ctl.model.profile import Profile
from calico_ctl.model.rule import Rule, Rules
from calico_ctl.policy.explain import Views
from calico_ctl.workload import in_force
from tests.support.cli import Cli

POOL = "/calico/ipam/v4/pool/10.65.0.0-16"


@pytest.fixture
def cli() -> Cli:
    cli = Cli()
    cli.store.put(keys.READY, "true")
    cli.store.put(POOL, '{"cidr": "10.65.0.0/16"}')
    cli.store.put(keys.global_config("DefaultEndpointToHostAction"), "DROP")
    profiles.create(cli.store, "web")
    cli.endpoint("a", "10.65.0.1", profiles=("web",))
    return cli


def test_all_that_policy_is_made_of_is_read(cli):
    view = Views(in_force.entries(cli.store)).of("host1")
    assert view.snapshot.ready
    assert view.to_host == "DROP"
    assert set(view.snapshot.pools) == {IPNetwork("10.65.0.0/16")}
    assert list(view.enforced) == ["calia"]
    assert "web" in view.snapshot.rules


def test_what_a_file_states_takes_the_place_of_what_is_there_and_nothing_is_written(cli):
    before = cli.contents()
    stated = [
        Stated(Profile("web", ("x",), Rules(inbound=(Rule(),))), "a document"),
        Stated(Profile("new"), "another"),
        Stated(Pool(IPNetwork("10.66.0.0/16")), "a third"),
    ]
    known = in_force.applied(cli.store, in_force.entries(cli.store), stated)
    snapshot = Views(known).of("host1").snapshot
    assert snapshot.rules["web"] == Rules(inbound=(Rule(),))
    assert snapshot.tags["web"] == ("x",)
    assert len(snapshot.pools) == 2
    assert keys.profile_rules("new") in known
    assert cli.contents() == before


def test_what_apply_would_refuse_is_refused(cli):
    stated = [Stated(Pool(IPNetwork("10.65.1.0/24")), "a document")]
    with pytest.raises(Conflict, match="overlaps"):
        in_force.applied(cli.store, in_force.entries(cli.store), stated)


def test_agents_that_do_not_keep_up_are_told_each_once(cli):
    status.write_agent(cli.store, "host1", AgentStatus(since="now"))
    status.write_agent(cli.store, "host2", AgentStatus(since="now", trouble="no table"))
    known = in_force.entries(cli.store)
    assert in_force.doubts(cli.store, known, ["host1"]) == []
    found = in_force.doubts(cli.store, known, ["host2", "host3", "host2"])
    assert len(found) == 2
    assert found[0].endswith("host2 is in trouble: no table")
    assert "host3 does not report" in found[1]
    assert "is not true" in in_force.doubts(cli.store, {}, [])[0]
