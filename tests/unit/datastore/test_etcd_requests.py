"""What is asked again, and what is not; real servers are in tests/integration/datastore."""

import pytest

from calico_ctl.datastore.etcd_requests import EtcdSettings, Requests
from calico_ctl.datastore.etcd_servers import Round, ServerFailed
from calico_ctl.errors import DatastoreUnavailable
from calico_ctl.model.etcd_access import EtcdAuthority


class Member:
    """Fails so often, then answers; counts how often it was asked."""

    def __init__(self, *failures: ServerFailed) -> None:
        self.failures = list(failures)
        self.asked = 0

    def __call__(self, _turn: Round) -> str:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


def requests(members: int = 1) -> Requests:
    others = [EtcdAuthority("b", 1), EtcdAuthority("c", 1)][: members - 1]
    return Requests(EtcdSettings("a", 1, others, timeout=1000.0), "set another API")


def broke(server: str = "a:1") -> ServerFailed:
    return ServerFailed(server, "connection lost", broke=True)


def test_a_read_whose_connection_broke_is_asked_once_more():
    member = Member(broke())
    assert requests().read(member) == "answer"
    assert member.asked == 2
    member = Member(broke(), broke())
    with pytest.raises(DatastoreUnavailable, match=r"a:1 \(connection lost\)"):
        requests().read(member)
    assert member.asked == 2


def test_a_read_that_failed_goes_on_at_the_next_member():
    member = Member(ServerFailed("a:1", "no answer"))
    some = requests(3)
    assert some.read(member) == "answer"
    assert some.servers.member == "b:1"
    member = Member(*(ServerFailed(f"{name}:1", "no answer") for name in "bca"))
    with pytest.raises(DatastoreUnavailable, match=r"a:1.*b:1.*c:1"):
        some.read(member)
    assert member.asked == 3


@pytest.mark.parametrize("members", [1, 3])
def test_a_write_is_sent_once_and_what_became_of_it_is_not_known(members: int):
    member = Member(broke())
    with pytest.raises(DatastoreUnavailable) as caught:
        requests(members).write("/a", member)
    assert member.asked == 1
    assert "whether /a was changed is not known" in caught.value.hint


def test_a_write_that_tls_kept_from_being_sent_has_the_hint_of_tls():
    with pytest.raises(DatastoreUnavailable) as caught:
        requests().write("/a", Member(ServerFailed("a:1", "TLS: untrusted")))
    assert "ETCD_CA_CERT_FILE" in caught.value.hint


def test_what_is_refused_and_what_is_not_etcd_is_told_with_what_to_try():
    some = requests()
    assert some.not_etcd().hint == "set another API"
    assert "ETCD_USERNAME" in some.forbidden("/a").hint
    assert some.refused("/a", "no space").message == "etcd at a:1 refused /a: no space"
