"""`calicoctl explain` as a process, against a real etcd: answers, exit codes, every option."""

import json

import pytest
from netaddr import IPAddress

from calico_ctl.datastore import endpoints
from calico_ctl.datastore.etcd import Etcd, EtcdSettings
from calico_ctl.model import names
from calico_ctl.model.endpoint import DOCKER, Endpoint, EndpointKey, State
from tests.support.shell import Shell

WEB, CLIENT = "a1" * 16, "b2" * 16
NO_DOCKER = {"DOCKER_HOST": "unix:///nowhere.sock"}
POLICY = """
schema: 1
kind: profile
name: web
tags: [web]
rules: {inbound: ["allow udp from ports 53 to ports 1000:2000", "allow icmp type 13 code 0"]}
"""


@pytest.fixture
def shell(shell: Shell) -> Shell:
    """Endpoints of two hosts, each with a profile of its own; there is no Docker."""
    host, port = shell.authority.split(":")
    store = Etcd(EtcdSettings(host, int(port)))
    for id_, where, ip, profile in (
        (WEB, "host1", "10.65.0.1", "web"),
        (CLIENT, "host2", "10.65.0.2", "client"),
    ):
        shell.done(f"profile add {profile}")
        key = EndpointKey(where, DOCKER, id_ * 2, id_)
        mac = "aa:bb:cc:dd:ee:ff"
        interface = names.host_interface(id_)
        ips = (IPAddress(ip),)
        endpoints.create(store, Endpoint(key, State.ACTIVE, interface, mac, (profile,), ips))
    store.close()
    return Shell(shell.authority, NO_DOCKER)


def test_what_is_denied_is_allowed_once_the_proposed_command_was_run(shell):
    asked = f"explain {CLIENT[:6]} 10.65.0.1 tcp 80"
    denied = shell.run(asked)
    assert denied.exit == 1
    assert denied.out.startswith("denied: tcp from 10.65.0.2 to 10.65.0.1 port 80\n")
    proposed = denied.out.splitlines()[-1].strip()
    shell.done(proposed.removeprefix("calicoctl "))
    allowed = shell.run(asked)
    assert allowed.exit == 0
    assert "10.65.0.2 carries tag client through profile client" in allowed.out
    item = json.loads(shell.done(f"{asked} --output=json"))["items"][0]
    assert [each["position"] for each in item["asked"]] == [1, 2]
    assert shell.done(f"explain {CLIENT} 192.0.2.7").count("allowed") >= 3


def test_a_file_is_tried_without_being_applied(shell, tmp_path):
    file = tmp_path / "web.yaml"
    file.write_text(POLICY.replace("]}\n", '], outbound: ["allow"]}\n'))
    before = shell.done("export")
    what_if = f"--what-if -f {file}"
    udp = f"explain {CLIENT} {WEB} udp 1500"
    assert shell.run(f"{udp} --src-port=53").exit == 1
    shell.done(f"{udp} --src-port=53 {what_if}")
    assert shell.run(f"{udp} --src-port=54 {what_if}").exit == 1
    ping = f"explain {CLIENT} {WEB} icmp"
    shell.done(f"{ping} --icmp-type=13 --icmp-code=0 {what_if}")
    assert shell.run(f"{ping} --icmp-type=13 --icmp-code=1 {what_if}").exit == 1
    assert shell.done("export") == before


def test_what_cannot_be_answered_is_an_error_that_says_what_to_try(shell):
    unknown = shell.refused("explain web client tcp 80")
    assert "there is no endpoint web" in unknown
    assert "hint: a container of another host is named by its id" in unknown
    away = shell.refused(f"explain {WEB} {CLIENT}", ETCD_AUTHORITY="127.0.0.1:1")
    assert "cannot reach etcd at 127.0.0.1:1" in away
