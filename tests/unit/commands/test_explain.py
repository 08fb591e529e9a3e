"""`calicoctl explain` says yes or no, by whom, and what would have to change."""

import json

import pytest
import yaml

from calico_ctl.datastore import status
from calico_ctl.datastore.status import AgentStatus
from calico_ctl.model import keys
from calico_ctl.model.container import Container
from tests.support.cli import Cli, FakePlatform, Finished, cells
from tests.support.machine import FakeDocker

WEB = "a" * 64


def words(line: str) -> list[str]:
    return line.split()


def run(cli: Cli, line: str) -> Finished:
    return cli.run(*words(line))


def done(cli: Cli, line: str) -> str:
    return cli.done(*words(line))


@pytest.fixture(autouse=True)
def no_more_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """This host has no addresses but that in etcd."""
    monkeypatch.setattr("calico_ctl.host.own_address.is_ours", lambda _: False)


@pytest.fixture
def cli() -> Cli:
    """Container web on this host with profile web, and one with profile client on host2."""
    container = Container(WEB, "web", True, 1, "none")
    cli = Cli(FakePlatform(docker=FakeDocker({"web": container})))
    cli.store.put(keys.READY, "true")
    cli.store.put("/calico/ipam/v4/pool/10.65.0.0-16", '{"cidr": "10.65.0.0/16"}')
    for number in (1, 2):
        cli.store.put(keys.host_address(f"host{number}", 4), f"10.99.0.{number}")
        status.write_agent(cli.store, f"host{number}", AgentStatus(since="now"))
    for name in ("web", "client"):
        cli.done("profile", "add", name)
    done(cli, "profile web rule add inbound allow tcp to ports 443")
    cli.endpoint("aaaa1111", "10.65.0.1", "fd80::1", workload=WEB, profiles=("web",))
    cli.endpoint("bbbb2222", "10.65.0.2", host="host2", profiles=("client",))
    return cli


def test_an_allowed_packet_is_told_with_the_rules_that_allow_it_and_exit_0(cli):
    finished = run(cli, "explain bbbb2222 web tcp 443")
    assert finished.exit == 0
    assert finished.err == ""
    first, source, target, *rest = finished.out.splitlines()
    assert first == "allowed: tcp from 10.65.0.2 to 10.65.0.1 port 443"
    assert source == "From  10.65.0.2, endpoint bbbb2222 on host2 (profiles: client)"
    assert target == "To    10.65.0.1, endpoint aaaa1111 on host1 (profiles: web)"
    assert "outbound on host2: allowed, outbound rule 1 of profile client allows it" in rest
    assert "inbound on host1: allowed, inbound rule 2 of profile web allows it" in rest
    assert "      no: 10.65.0.2 does not carry tag web" in rest


def test_a_denied_packet_is_told_with_a_command_that_helps_and_exit_1(cli):
    asked = words("explain bbbb2222 web tcp 80")
    finished = cli.run(*asked)
    assert finished.exit == 1
    assert finished.out.startswith("denied: ")
    command = "profile web rule add inbound allow tcp from tag client to ports 80"
    assert finished.out.endswith(f"To allow it:\n  calicoctl {command}\n")
    done(cli, command)
    assert cli.run(*asked).exit == 0


def test_tags_that_mattered_are_told(cli):
    done(cli, "profile web rule add inbound allow tcp from tag client to ports 80")
    out = done(cli, "explain bbbb2222 web tcp 80")
    assert "  10.65.0.2 carries tag client through profile client\n" in out


def test_without_a_port_all_of_them_are_answered_for_and_one_denial_is_exit_1(cli):
    finished = cli.run("explain", "bbbb2222", "web")
    assert finished.exit == 1
    assert [row[:3] for row in cells(finished.out)] == [
        ["Protocol", "Ports", "Answer"],
        ["icmp", "", "denied"],
        ["tcp", "0:442", "denied"],
        ["tcp", "443", "allowed"],
        ["tcp", "444:65535", "denied"],
        ["udp", "0:65535", "denied"],
    ]
    assert cli.run("explain", "web", "192.0.2.7").exit == 0


def test_data_has_all_that_people_are_told(cli):
    finished = run(cli, "explain bbbb2222 web tcp 80 --output=json")
    assert finished.exit == 1
    listing = json.loads(finished.out)
    assert (listing["schema"], listing["kind"]) == (1, "explanation")
    (item,) = listing["items"]
    assert item["allowed"] is False
    assert item["source"]["endpoint"] == "bbbb2222"
    assert item["destination"]["hostname"] == "host1"
    assert (item["first_port"], item["last_port"], item["icmp_type"]) == (80, 80, None)
    outbound, inbound = item["asked"]
    assert (outbound["why"], outbound["rule"], outbound["position"]) == ("rule", "allow", 1)
    assert (inbound["why"], inbound["rule"], inbound["position"]) == ("no_rule", None, None)
    assert inbound["not_matched"][0]["because"] == ["10.65.0.2 does not carry tag web"]
    assert inbound["tags"] == [
        {"tag": "web", "address": "10.65.0.2", "carried": False, "profiles": []}
    ]
    assert inbound["advice"].startswith("calicoctl profile web rule add inbound allow tcp")
    in_yaml = run(cli, "explain bbbb2222 web tcp 80 --output=yaml")
    assert yaml.safe_load(in_yaml.out) == listing
    assert run(cli, "explain bbbb2222 web tcp 80 --output=name").out == "denied\n"


def test_what_a_file_would_change_is_answered_before_it_is_applied(cli, tmp_path):
    file = tmp_path / "web.yaml"
    file.write_text(
        "{schema: 1, kind: profile, name: web, tags: [web],"
        " rules: {inbound: [allow from tag client], outbound: [allow]}}"
    )
    before = cli.contents()
    asked = words("explain bbbb2222 web tcp 80")
    assert cli.run(*asked).exit == 1
    assert cli.run(*asked, "--what-if", "-f", str(file)).exit == 0
    assert cli.run(*asked, "-f", "-", stdin=file.read_text()).exit == 0
    assert cli.contents() == before
    assert "needs a file" in cli.refused(*asked, "--what-if")
    assert "nowhere" in cli.refused(*asked, "-f", "/nowhere.yaml")


def test_what_is_odd_about_the_ends_is_said(cli):
    assert "to itself" in cli.run("explain", "web", "10.65.0.1").err
    assert "neither end is an endpoint" in cli.run("explain", "192.0.2.7", "192.0.2.8").err
    pooled = run(cli, "explain 10.65.0.9 web tcp 443")
    assert pooled.exit == 0
    assert "from a container it would be dropped as spoofed" in pooled.err
    nobody = run(cli, "explain web 10.65.0.9 tcp 443")
    assert nobody.exit == 1
    assert "nobody would answer" in nobody.out


def test_a_sender_whose_address_is_not_seen_is_warned_of(cli):
    assert "rules see that one" not in run(cli, "explain bbbb2222 web").err
    cli.endpoint("cccc3333", "203.0.113.3", profiles=("web",))
    masquerading = '{"cidr": "10.65.0.0/16", "masquerade": true}'
    cli.store.put("/calico/ipam/v4/pool/10.65.0.0-16", masquerading)
    assert "rules see that one" in run(cli, "explain bbbb2222 cccc3333").err
    assert "rules see that one" not in run(cli, "explain web cccc3333").err


def test_agents_that_do_not_keep_up_are_warned_of(cli):
    cli.store.delete(keys.agent_status("host2"))
    finished = run(cli, "explain bbbb2222 web tcp 443")
    assert finished.exit == 0
    assert "warning: the policy agent of host2 does not report" in finished.err


def test_icmp_is_asked_about_by_type_and_code(cli):
    done(cli, "profile web rule add inbound allow icmp type 13")
    assert run(cli, "explain bbbb2222 web icmp").exit == 1
    assert run(cli, "explain bbbb2222 web icmp --icmp-type=13").exit == 0
    assert run(cli, "explain bbbb2222 web icmp --icmp-type=13 --icmp-code=1").exit == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nobody web tcp 80", "there is no endpoint nobody"),
        ("web fd80::9 icmp --icmp-type=999", "invalid ICMP type '999'"),
        ("web 192.0.2.7 tcp 99999", "invalid port '99999'"),
        ("web 192.0.2.7 nonsense", "invalid protocol 'nonsense'"),
        ("bbbb2222 fd80::1", "no addresses of one family"),
        ("web ../x", "invalid end of a connection"),
        ("web 192.0.2.7 tcp 80 --output=xml", "invalid --output 'xml'"),
    ],
)
def test_what_cannot_be_answered_is_an_error(cli, line, message):
    assert message in cli.refused("explain", *words(line))


def test_without_etcd_it_says_where_it_looked(cli):
    cli.store.fail("nobody is there")
    finished = cli.run("explain", "web", "192.0.2.7")
    assert (finished.exit, finished.out) == (1, "")
    assert "cannot reach etcd at memory:0" in finished.err
