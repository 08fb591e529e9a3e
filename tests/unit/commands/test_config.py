import pytest

from tests.support.cli import Cli

FELIX = ("felix",)
BGP = ("bgp",)
NODE = ("node", "bgp")
KEYS = {
    FELIX: "/calico/config/LogSeverityScreen",
    BGP: "/calico/bgp/v1/global/loglevel",
    NODE: "/calico/bgp/v1/host/host1/loglevel",
}


@pytest.fixture
def cli() -> Cli:
    return Cli()


@pytest.mark.parametrize("what", KEYS)
def test_a_setting_is_set_shown_and_removed(cli, what):
    assert cli.done("config", *what, "loglevel") == "No value configured\n"
    assert cli.done("config", *what, "loglevel", "debug") == ""
    assert cli.contents()[KEYS[what]] == "debug"
    assert cli.done("config", *what, "loglevel") == "debug\n"
    assert cli.done("config", *what, "loglevel", "--remove") == "Value removed\n"
    assert KEYS[what] not in cli.contents()
    assert cli.done("config", *what, "loglevel", "--remove") == "No value configured\n"


@pytest.mark.parametrize("level", ["none", "debug", "info", "warning", "error", "critical"])
def test_the_policy_agent_has_its_log_levels(cli, level):
    cli.done("config", "felix", "loglevel", level)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("loglevel", level) for level in ("none", "debug", "info")),
        *(("accept_default_route", value) for value in ("true", "false")),
        *(("max_prefixes", value) for value in ("1", "20000", "10000000")),
    ],
)
def test_bgp_has_its_settings(cli, name, value):
    cli.done("config", "bgp", name, value)
    cli.done("config", "node", "bgp", name, value)
    assert cli.contents()[f"/calico/bgp/v1/global/{name}"] == value
    assert cli.contents()[f"/calico/bgp/v1/host/host1/{name}"] == value


@pytest.mark.parametrize(
    ("what", "name", "value"),
    [
        (FELIX, "loglevel", "debugxyz"),
        (FELIX, "loglevel", "DEBUG"),
        (FELIX, "loglevel", ""),
        (BGP, "loglevel", "warning"),
        (NODE, "loglevel", "infos"),
        (BGP, "accept_default_route", "yes"),
        (BGP, "max_prefixes", "0"),
    ],
)
def test_T25_a_value_that_is_not_exactly_right_needs_force(cli, what, name, value):
    assert "invalid" in cli.refused("config", *what, name, value)
    finished = cli.run("config", *what, name, value, "--force")
    assert finished.exit == 0
    assert "it is set all the same" in finished.err


@pytest.mark.parametrize("what", KEYS)
@pytest.mark.parametrize("more", [(), ("x",), ("--remove",)])
def test_an_unknown_name_needs_force_whatever_is_done_with_it(cli, what, more):
    err = cli.refused("config", *what, "Foo", *more)
    assert "there is no setting 'Foo'" in err
    assert "loglevel" in err
    cli.done("config", *what, "Foo", *more, "--force")


def test_an_unknown_name_is_the_key(cli):
    cli.done("config", "felix", "InterfacePrefix", "cali", "--force")
    assert cli.contents()["/calico/config/InterfacePrefix"] == "cali"


@pytest.mark.parametrize("name", ["a/b", "", "..", "_hidden", "a b", "x" * 101])
def test_what_can_be_no_key_is_no_name(cli, name):
    assert "invalid name" in cli.refused("config", "felix", name, "x", "--force")


@pytest.mark.parametrize("name", ["as_num", "node_mesh", "peer_v4", "ip_addr_v4"])
@pytest.mark.parametrize("more", [("junk",), ("--remove",)])
def test_what_other_commands_set_is_no_setting(cli, name, more):
    cli.done("bgp", "peer", "add", "10.0.0.9", "as", "65000")
    err = cli.refused("config", "bgp", name, *more, "--force")
    assert f"{name} is no setting" in err
