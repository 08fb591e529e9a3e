import pytest

from calico_ctl.dataplane import bird
from calico_ctl.dataplane.bird import Life, RouteCounts, SessionState

SHOWN = """\
BIRD 2.0.12 ready.
Access restricted
Name       Proto      Table      State  Since         Info
device1    Device     ---        up     10:11:12.000
direct1    Direct     ---        up     10:11:12.000
kernel4    Kernel     master4    up     10:11:12.000
Mesh_10_0_0_2 BGP        ---        up     10:11:15.123  Established
Mesh_10_0_0_3 BGP        ---        start  10:11:12.000  Active        Socket: Connection refused
Mesh_10_0_0_4 BGP        ---        down   10:11:12.000
"""


def test_only_bgp_protocols_are_sessions():
    assert bird.parse_sessions(SHOWN) == [
        SessionState("Mesh_10_0_0_2", "up", "10:11:15.123", "Established"),
        SessionState("Mesh_10_0_0_3", "start", "10:11:12.000", "Active Socket: Connection refused"),
        SessionState("Mesh_10_0_0_4", "down", "10:11:12.000", ""),
    ]


def test_a_session_is_established_or_not():
    assert [each.established for each in bird.parse_sessions(SHOWN)] == [True, False, False]


def test_all_starts_but_the_first_one_are_restarts():
    time = "2026-11-24T08:46:51Z"
    assert bird.parse_starts(f"1 {time}\n") == Life(time, 0)
    assert bird.parse_starts(f"3 {time}\n") == Life(time, 2)
    shown = f"{SHOWN}3 {time}\n"
    assert bird.parse_starts(shown) == Life(time, 2)
    assert bird.parse_sessions(shown) == bird.parse_sessions(SHOWN)


@pytest.mark.parametrize("shown", ["", "\n", "0 2026-11-24T08:46:51Z", "1 yesterday", "1\n2\n"])
def test_of_what_says_nothing_of_starts_nothing_is_made(shown):
    assert bird.parse_starts(shown) is None


def test_nothing_shown_is_no_sessions():
    assert bird.parse_sessions("") == []


SHOWN_WITH_ALL = """\
BIRD 2.0.12 ready.
Access restricted
Name       Proto      Table      State  Since         Info
device1    Device     ---        up     16:46:02.698

kernel4    Kernel     master4    up     16:46:02.698
  Channel ipv4
    State:          UP
    Table:          master4
    Preference:     200
    Input filter:   from_kernel4
    Output filter:  to_kernel4
    Routes:         9 imported, 9 exported, 9 preferred
    Route change stats:     received   rejected   filtered    ignored   accepted
      Import updates:              9          0          0          0          9

Mesh_10_99_7_1 BGP        ---        up     16:46:02.699  Established
  BGP state:          Established
    Neighbor address: 10.99.7.1
    Neighbor AS:      64511
    Local AS:         64511
    Neighbor ID:      10.99.7.1
    Session:          internal multihop AS4
    Source address:   10.99.7.2
    Hold timer:       82.304/90
  Channel ipv4
    State:          UP
    Table:          master4
    Preference:     100
    Input filter:   from_cluster4
    Output filter:  to_peer4
    Import limit:   20000
      Action:       block
    Routes:         3 imported, 2 exported, 1 preferred
    BGP Next hop:   10.99.7.2
    IGP IPv4 table: underlay4

Mesh_10_99_7_3 BGP        ---        start  16:46:02.699  Connect
  BGP state:          Connect
    Neighbor address: 10.99.7.3
  Channel ipv4
    State:          DOWN
    Import limit:   20000
      Action:       block

Global_10_99_7_9 BGP        ---        up     16:46:02.699  Established
  Channel ipv4
    State:          UP
    Routes:         30 imported, 4 filtered, 20 exported, 10 preferred

"""


def test_sessions_that_exchange_routes_have_their_counts():
    assert {each.name: each.routes for each in bird.parse_sessions(SHOWN_WITH_ALL)} == {
        "Mesh_10_99_7_1": RouteCounts(received=3, exported=2, preferred=1),
        "Mesh_10_99_7_3": None,
        "Global_10_99_7_9": RouteCounts(received=30, exported=20, preferred=10),
    }


def test_asking_for_sessions_changes_nothing_and_asks_for_all():
    assert bird.asking_for_sessions("/run/b") == ["birdc", "-r", "-s", "/run/b", *ALL]
    assert bird.asking_for_states("/run/b") == ["birdc", "-r", "-s", "/run/b", *ALL[:-1]]


ALL = ["show", "protocols", "all"]
