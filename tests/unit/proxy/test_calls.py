"""A request is the call that the engine would route it to."""

import pytest

from calico_ctl.proxy import calls
from calico_ctl.proxy.calls import Call, Kind


@pytest.mark.parametrize(
    ("method", "target", "call"),
    [
        ("POST", "/containers/create", Call(Kind.CREATE)),
        ("POST", "/v1.44/containers/create?name=web", Call(Kind.CREATE, "", (1, 44))),
        ("POST", "/containers/web/start", Call(Kind.START, "web")),
        ("POST", "/v1.41/containers/web/restart?t=1", Call(Kind.RESTART, "web", (1, 41))),
        ("DELETE", "/v1.41/containers/web?force=1", Call(Kind.REMOVE, "web", (1, 41))),
        ("GET", "/containers/web/json", Call(Kind.INSPECT, "web")),
        ("GET", "/v1.55/containers/json?all=1", Call(Kind.LIST, "", (1, 55))),
        ("POST", "/containers/web/attach?stream=1", Call(Kind.ATTACH, "web")),
        ("POST", "/v1.41/networks/mine/connect", Call(Kind.JOIN, "mine", (1, 41))),
        ("POST", "/networks/mine/disconnect", Call(Kind.OTHER)),
        ("POST", "/exec/0a1b/start", Call(Kind.ATTACH, "0a1b")),
    ],
)
def test_the_calls_that_matter_are_known(method, target, call):
    assert calls.classify(method, target.encode()) == call


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/containers/a%2Fb/start", "a/b"),
        ("/containers/a/b/start", "a/b"),
        ("/containers/start/start", "start"),
        ("/containers/%77%65b/start", "web"),
        ("/%63ontainers/web/%73tart", "web"),
        ("/containers/web%2Fstart", "web"),
        ("/containers/w%3Fb/start", "w?b"),
        ("/containers/a+b/start", "a+b"),
        ("/containers/caf%C3%A9/start", "café"),
        ("/containers/%ff/start", "\ufffd"),
        ("http://docker/containers/web/start", "web"),
        ("unix://anything:1/containers/web/start", "web"),
        ("x:/containers/web/start", "web"),
        ("/containers/web/start?/../..", "web"),
    ],
)
def test_names_and_paths_are_decoded_as_the_engine_does(target, name):
    assert calls.classify("POST", target.encode()) == Call(Kind.START, name)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("HEAD", "/containers/json"),
        ("HEAD", "/containers/web/json"),
        ("post", "/containers/create"),
        ("GET", "/containers/create"),
        ("PUT", "/containers/create"),
        ("POST", "/Containers/create"),
        ("POST", "/containers/create/"),
        ("POST", "//containers/create"),
        ("POST", "/containers//start"),
        ("POST", "/containers/%2Fweb/start"),
        ("POST", "/containers/./create"),
        ("POST", "/v1.44/../containers/create"),
        ("POST", "/containers/web/%2e%2e/start"),
        ("POST", "/containers/we%0Ab/start"),
        ("POST", "/containers/%zz/start"),
        ("POST", "/containers/web/start%"),
        ("POST", "/containers/web/start#"),
        ("POST", "/v1.44containers/create"),
        ("POST", "/v/containers/create"),
        ("POST", "/vx/containers/create"),
        ("POST", "http://docker"),
        ("POST", "http:containers/create"),
        ("POST", "*"),
        ("DELETE", "/containers/"),
        ("DELETE", "/containers/web/checkpoints/first"),
        ("POST", "/containers/prune"),
        ("GET", "/_ping"),
    ],
)
def test_what_the_engine_routes_elsewhere_or_not_at_all_is_no_call_of_ours(method, target):
    assert calls.classify(method, target.encode()).kind is Kind.OTHER


@pytest.mark.parametrize("version", ["1..4", ".", "1.", "9" * 5000])
def test_a_version_that_cannot_be_read_is_none_and_the_call_is_known(version):
    target = f"/v{version}/containers/create".encode()
    assert calls.classify("POST", target) == Call(Kind.CREATE, "", None)
