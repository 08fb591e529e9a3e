from calico_ctl.dataplane import bird
from calico_ctl.dataplane.bird import SessionState

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


def test_nothing_shown_is_no_sessions():
    assert bird.parse_sessions("") == []
