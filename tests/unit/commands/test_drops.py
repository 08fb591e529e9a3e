"""`calicoctl drops` tells each dropped packet with whose it was and why, and looks no longer."""

import json
from dataclasses import dataclass, field

import pytest
from netaddr import IPAddress

from calico_ctl.console import Console
from calico_ctl.errors import CalicoError, DatastoreUnavailable
from calico_ctl.model.container import Container
from calico_ctl.model.rule import Direction
from calico_ctl.policy.dropped import Drop, Reason, Seen, Why
from calico_ctl.policy.verdict import ICMPV6, TCP, Packet
from tests.support.cli import NOT_ROOT, Cli, FakePlatform
from tests.support.machine import FakeClock, FakeDocker

WEB = "a" * 64
DENIED = Drop(
    "caliaaaa",
    Direction.INBOUND,
    Packet(IPAddress("10.65.0.2"), IPAddress("10.65.0.1"), TCP, 5000, 81),
    Reason(Why.RULE, "inbound rule 2 of profile web denies it", "web", 2, inbound=True),
)
UNMATCHED = Drop(
    "calibbbb",
    Direction.OUTBOUND,
    Packet(IPAddress("fd80::1"), IPAddress("fd80::2"), ICMPV6, icmp_type=128, icmp_code=0),
    Reason(Why.NO_RULE, "no outbound rule of any of its profiles matches", inbound=False),
)


@dataclass
class Watch:
    """What is seen, look by look; each look takes all the time that it may."""

    clock: FakeClock
    looks: list[Seen | BaseException] = field(default_factory=list)
    over: int | CalicoError = 0
    closed: bool = False
    waited: list[float] = field(default_factory=list)

    def wait(self, seconds: float) -> Seen:
        self.waited.append(seconds)
        self.clock.sleep(seconds)
        seen = self.looks.pop(0) if self.looks else Seen(())
        if isinstance(seen, BaseException):
            raise seen
        return seen

    def passed_over(self) -> int:
        if isinstance(self.over, CalicoError):
            raise self.over
        return self.over

    def close(self) -> None:
        self.closed = True


class Hurried(FakeDocker):
    def hurried(self) -> FakeDocker:
        return self


@pytest.fixture
def watch() -> Watch:
    return Watch(FakeClock())


@pytest.fixture
def cli(watch: Watch) -> Cli:
    docker = Hurried({"web": Container(WEB, "web", True, 1, "none")})
    cli = Cli(FakePlatform(docker=docker, clock=watch.clock, watch=watch))
    cli.endpoint("aaaa", "10.65.0.1", workload=WEB, profiles=("web",))
    cli.endpoint("bbbb", "fd80::1", profiles=("one", "two"))
    cli.endpoint("cccc", "10.65.0.3", host="host2")
    return cli


def test_each_packet_is_a_line_with_the_container_the_ends_and_the_reason(cli, watch):
    watch.looks = [Seen([DENIED]), Seen([UNMATCHED])]
    finished = cli.run("drops")
    first, second = (line.partition(" ")[2] for line in finished.out.splitlines())
    assert first == (
        "web inbound tcp 10.65.0.2:5000 -> 10.65.0.1:81: inbound rule 2 of profile web denies it"
    )
    assert second == (
        "bbbb outbound icmpv6 type 128 fd80::1 -> fd80::2: no outbound rule of one, two matches"
    )
    assert finished.exit == 0
    assert finished.err == "2 packets were dropped in 5 s\n"
    assert watch.closed


def test_it_looks_for_as_long_as_it_was_told_to(cli, watch):
    assert cli.run("drops").err == "nothing was dropped in 5 s\n"
    assert watch.clock.now == pytest.approx(5)
    watch.looks = [Seen([DENIED])]
    assert cli.run("drops", "--for=1m").err == "1 packet was dropped in 60 s\n"
    assert watch.clock.now == pytest.approx(65)
    assert max(watch.waited) <= 1


def test_as_data_each_packet_is_an_object_on_a_line(cli, watch):
    watch.looks = [Seen([DENIED, UNMATCHED])]
    first, second = map(json.loads, cli.done("drops", "--output=json").splitlines())
    when = first.pop("time")
    assert when.endswith("Z")
    assert first == {
        "schema": 1,
        "kind": "drop",
        "hostname": "host1",
        "interface": "caliaaaa",
        "endpoint": "aaaa",
        "workload": WEB,
        "container": "web",
        "direction": "inbound",
        "protocol": "tcp",
        "source": "10.65.0.2",
        "source_port": 5000,
        "destination": "10.65.0.1",
        "port": 81,
        "icmp_type": None,
        "icmp_code": None,
        "why": "rule",
        "reason": "inbound rule 2 of profile web denies it",
        "profile": "web",
        "position": 2,
    }
    assert (second["container"], second["profile"], second["icmp_type"]) == (None, None, 128)


def test_one_endpoint_alone_can_be_looked_at(cli, watch):
    watch.looks = [Seen([UNMATCHED, DENIED])]
    finished = cli.run("drops", "web")
    assert finished.out.count("\n") == 1
    assert " web inbound " in finished.out
    assert finished.err == "1 packet was dropped in 5 s\n"
    assert "run it on host2" in cli.refused("drops", "cccc")
    assert "there is no endpoint nobody" in cli.refused("drops", "nobody")


def test_what_is_not_shown_is_said(cli, watch):
    watch.looks = [Seen((), missed=True), Seen((), missed=True)]
    watch.over = 7
    err = cli.run("drops").err
    assert err.count("warning: more was dropped than could be told") == 1
    assert "warning: 7 packets were not looked at" in err
    assert err.count("warning: there are too many packets; some of them are not looked at") == 1


def test_who_follows_is_told_too_how_many_were_left_out(cli, watch):
    watch.looks, watch.over = [Seen([DENIED]), KeyboardInterrupt()], 7
    finished = cli.run("drops", "--follow")
    assert (finished.exit, finished.err) == (
        130,
        "warning: 7 packets were not looked at: there were too many\n",
    )
    assert watch.closed


UNCOUNTED = "error: cannot say how many packets were not looked at: cannot list rules: it is away\n"


@pytest.mark.parametrize(
    ("line", "last", "code", "said"),
    [
        ("drops --for=1s", Seen(()), 1, f"{UNCOUNTED}1 packet was dropped in 1 s\n"),
        ("drops --follow", KeyboardInterrupt(), 130, UNCOUNTED),
        ("drops", CalicoError("it broke"), 1, f"{UNCOUNTED}error: it broke\n"),
    ],
    ids=["the time is over", "interrupted", "it broke before"],
)
def test_who_cannot_be_told_what_was_left_out_is_told_so(cli, watch, line, last, code, said):
    watch.looks, watch.over = [Seen([DENIED]), last], CalicoError("cannot list rules: it is away")
    finished = cli.run(*line.split())
    assert (finished.exit, finished.err) == (code, said)
    assert finished.out.count("\n") == 1
    assert watch.closed


def test_it_follows_until_it_is_interrupted_and_then_looks_no_more(cli, watch):
    watch.looks = [*[Seen(())] * 100, Seen([DENIED]), KeyboardInterrupt()]
    finished = cli.run("drops", "--follow")
    assert finished.exit == 130
    assert finished.out.count("\n") == 1
    assert watch.closed


def test_it_ends_when_nobody_reads_any_more(cli, watch, monkeypatch):
    monkeypatch.setattr(Console, "is_heard", property(lambda _: len(watch.waited) < 3))
    assert cli.run("drops", "--follow").exit == 0
    assert len(watch.waited) == 3
    assert watch.closed


def test_without_etcd_only_interfaces_are_known(cli, watch):
    cli.store.fail("it is away")
    watch.looks = [Seen([DENIED]), Seen([DENIED])]
    finished = cli.run("drops")
    assert finished.exit == 0
    assert finished.out.count(" caliaaaa inbound tcp ") == 2
    assert finished.err.count("warning: only interfaces are known: cannot reach etcd") == 1


def test_without_etcd_one_interface_can_still_be_looked_at(cli, watch):
    cli.store.fail("it is away")
    watch.looks = [Seen([UNMATCHED, DENIED])]
    finished = cli.run("drops", "caliaaaa")
    assert finished.exit == 0
    assert " caliaaaa inbound tcp " in finished.out
    assert finished.out.count("\n") == 1
    refused = cli.run("drops", "web")
    assert (refused.exit, refused.out) == (1, "")
    assert refused.err.startswith("error: cannot reach etcd")
    assert "\nhint: leave out web, or name its interface" in refused.err


def test_what_was_told_while_an_etcd_kept_it_waiting_is_shown_too(cli, watch):
    def hang(*_: object) -> object:
        watch.clock.sleep(60)
        raise DatastoreUnavailable("10.0.0.1:2379", "no answer")

    cli.platform.store.tree = hang
    watch.looks = [Seen([DENIED]), Seen([UNMATCHED])]
    finished = cli.run("drops")
    assert finished.out.count("\n") == 2
    assert watch.waited[-1] == 0


def test_a_table_that_has_gone_is_said_once(cli, watch):
    watch.looks = [Seen(()), Seen((), tableless=True), Seen((), tableless=True)]
    err = cli.run("drops").err
    assert err.count("warning: the nftables table inet calico is gone: until the policy") == 1


def test_it_needs_root_and_refuses_what_it_cannot_do(cli, watch):
    assert "invalid --for '0x'" in cli.refused("drops", "--for=0x")
    assert "table or json" in cli.refused("drops", "--output=yaml")
    cli.user = NOT_ROOT
    finished = cli.run("drops")
    assert finished.exit == 2
    assert "must be run as root" in finished.err
    assert watch.waited == []
