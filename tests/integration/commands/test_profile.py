"""calicoctl profile, as processes against a real etcd."""

import json

import yaml

WEB = "/calico/policy/profile/web"


def test_a_profile_from_its_making_to_its_end(shell, etcd):
    assert shell.done("profile add web") == "Created profile web\n"
    assert json.loads(etcd.keys()[f"{WEB}/tags"]) == ["web"]
    shell.done("profile web tag add logger")
    assert shell.done("profile web tag show") == "logger\nweb\n"
    shell.done("profile web tag remove logger")
    assert "| web" in shell.done("profile show")
    assert "None" in shell.done("profile show --detailed")
    assert shell.done("profile remove web --no-check") == "Deleted profile web\n"
    shell.done("profile add web")
    assert shell.done("profile remove web") == "Deleted profile web\n"
    assert etcd.keys() == {}


def test_the_rules_of_a_profile(shell, etcd):
    shell.done("profile add web")
    shell.done("profile web rule add inbound --at=1 deny tcp from tag x to ports 80,90:99")
    shell.done("profile web rule add outbound deny icmp type 8 code 0 to cidr 10.0.0.0/8")
    shell.done("profile web rule remove inbound --at=2")
    shell.done("profile web rule remove outbound allow")
    assert shell.done("profile web rule show").splitlines() == [
        "Inbound rules:",
        "   1 deny tcp from tag x to ports 80,90:99",
        "Outbound rules:",
        "   1 deny icmp type 8 code 0 to cidr 10.0.0.0/8",
    ]
    shell.done("profile web rule add inbound allow")
    shell.done("profile web rule remove inbound allow")
    written = etcd.keys()[f"{WEB}/rules"]
    exchanged = shell.done("profile web rule json")
    shell.done("profile web rule update", stdin=exchanged)
    assert etcd.keys()[f"{WEB}/rules"] == written
    shell.done("profile web rule remove outbound --at=1")
    assert json.loads(etcd.keys()[f"{WEB}/rules"])["outbound"] == []


def test_profiles_tags_and_rules_are_shown_as_data(shell, etcd):
    shell.done("profile add web")
    (profile,) = json.loads(shell.done("profile show --output=json"))["items"]
    assert (profile["name"], profile["tags"]) == ("web", ["web"])
    (profile,) = yaml.safe_load(shell.done("profile show --detailed --output=yaml"))["items"]
    assert profile["members"] == []
    assert shell.done("profile web tag show --output=name") == "web\n"
    rules = json.loads(shell.done("profile web rule show --output=json"))["items"]
    assert [each["text"] for each in rules] == ["allow from tag web", "allow"]


def test_what_an_orchestrator_wrote_is_read_as_it_meant_it(shell, etcd):
    etcd.request("PUT", f"/v2/keys{WEB}/tags", "[logger]")
    etcd.request("PUT", f"/v2/keys{WEB}/rules", '{"inbound": [{"src_ports": [80]}]}')
    assert shell.done("profile web tag show") == "logger\n"
    assert "   1 allow from ports 80" in shell.done("profile web rule show")


def test_a_profile_in_use_stays(shell, etcd):
    shell.done("profile add web")
    endpoint = {"state": "active", "name": "cali1", "mac": None, "profile_id": "web"}
    key = "/v2/keys/calico/host/host7/workload/docker/w1/endpoint/e1"
    etcd.request("PUT", key, json.dumps(endpoint))
    assert "in use by host7/e1" in shell.refused("profile remove web")
    assert "host7" in shell.done("profile show --detailed")
