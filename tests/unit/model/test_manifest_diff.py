from netaddr import IPNetwork

from calico_ctl.model import manifest_diff
from calico_ctl.model.pool import Pool
from calico_ctl.model.profile import Profile
from calico_ctl.model.rule import Action, Rule, Rules


def test_lines_that_go_and_lines_that_come_are_shown_with_what_is_around_them() -> None:
    stays = tuple(Rule(src_tag=f"t{number}") for number in range(5))
    old = Profile("web", ("b", "a"), Rules((*stays, Rule(Action.DENY)), (Rule(),)))
    new = Profile("web", ("a", "b"), Rules((*stays, Rule(protocol="tcp")), (Rule(),)))
    assert manifest_diff.lines(old, new, "web.yaml, document 1") == [
        "--- profile web (etcd)",
        "+++ profile web (web.yaml, document 1)",
        "@@ -7,6 +7,6 @@",
        "   allow from tag t2",
        "   allow from tag t3",
        "   allow from tag t4",
        "-  deny",
        "+  allow tcp",
        " outbound:",
        "   allow",
    ]


def test_a_new_thing_is_all_plus() -> None:
    assert manifest_diff.lines(None, Pool(IPNetwork("10.65.0.0/16"), masquerade=True), "x")[2:] == [
        "@@ -0,0 +1,6 @@",
        "+cidr: 10.65.0.0/16",
        "+ipip: false",
        "+nat_outgoing: true",
        "+vxlan: false",
        "+cross_subnet: false",
        "+disabled: false",
    ]


def test_things_that_mean_the_same_have_no_difference() -> None:
    assert manifest_diff.lines(Profile("web", ("b", "a")), Profile("web", ("a", "b")), "x") == []
