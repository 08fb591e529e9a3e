import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from calico_ctl.errors import InvalidValue
from calico_ctl.model import etcd_access
from calico_ctl.model.etcd_access import EtcdAccess, EtcdAuthority, EtcdLogin, EtcdTls

SECURE = {
    "ETCD_AUTHORITY": "a:1,[fd80::1]:2",
    "ETCD_SCHEME": "https",
    "ETCD_CA_CERT_FILE": "/ca",
    "ETCD_CERT_FILE": "/cert",
    "ETCD_KEY_FILE": "/key",
    "ETCD_USERNAME": "me",
    "ETCD_PASSWORD_FILE": "/password",
    "ETCD_API": "3",
}


def test_without_variables_etcd_is_local_and_plain() -> None:
    access = etcd_access.from_environment({"HOME": "/root"})
    assert access == etcd_access.DEFAULT
    assert access.authority == "127.0.0.1:4001"
    assert (access.tls, access.login, access.api) == (None, None, "auto")


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.45.97.100:2379", "10.45.97.100", 2379),
        ("etcd:4001", "etcd", 4001),
        ("Etcd-1.example.org:65535", "Etcd-1.example.org", 65535),
        ("etcd.example.org.:1", "etcd.example.org.", 1),
        ("my_etcd:4001", "my_etcd", 4001),
        ("[fd80::1]:2379", "fd80::1", 2379),
        ("[::]:2379", "::", 2379),
    ],
)
def test_a_member_is_named_by_address_or_name_and_port(text, host, port) -> None:
    assert etcd_access.parse_authorities(text) == (EtcdAuthority(host, port),)


def test_several_members_keep_their_order_and_each_counts_once() -> None:
    access = etcd_access.from_environment({"ETCD_AUTHORITY": "b:1,[fd80::1]:2,10.0.0.1:3,b:1"})
    assert access.authority == "b:1,[fd80::1]:2,10.0.0.1:3"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        ",",
        "etcd",
        "etcd:",
        ":4001",
        "etcd:0",
        "etcd:65536",
        "etcd:x",
        "etcd:-1",
        "127.1:4001",
        "256.0.0.1:4001",
        "010.0.0.1:4001",
        "fd80::1:2379",
        "[fd80::1]",
        "[fd80:::1]:2379",
        "[10.0.0.1]:2379",
        "[]:2379",
        "http://etcd:4001",
        "-etcd:4001",
        "etcd-:4001",
        "a..b:4001",
        f"{'a' * 64}:4001",
        "etcd:4001\n",
        " etcd:4001",
        "etcd:4001,",
        ",etcd:4001",
        "etcd:4001;other:4001",
        "etcd:4001 other:4001",
        "ünï:4001",
    ],
)
def test_any_other_authority_is_refused_as_a_whole(text) -> None:
    for given_text in (text, f"good:1,{text}"):
        with pytest.raises(InvalidValue, match="invalid ETCD_AUTHORITY"):
            etcd_access.from_environment({"ETCD_AUTHORITY": given_text})


@given(st.text(alphabet="[]:.,0123456789abcfz-_/\n ", max_size=20))
@examples(max_examples=100, deadline=None)
def test_whatever_the_variable_holds_is_an_authority_or_an_invalid_value(text) -> None:
    try:
        authorities = etcd_access.parse_authorities(text)
    except InvalidValue:
        return
    shown = ",".join(str(each) for each in authorities)
    assert etcd_access.parse_authorities(shown) == authorities


def test_everything_that_etcd_wants_to_see_is_read_and_written_as_the_same_variables() -> None:
    access = etcd_access.from_environment(SECURE)
    assert access == EtcdAccess(
        (EtcdAuthority("a", 1), EtcdAuthority("fd80::1", 2)),
        EtcdTls("/ca", "/cert", "/key"),
        EtcdLogin("me", "", "/password"),
        etcd_access.V3,
    )
    assert etcd_access.to_environment(access) == SECURE


def test_the_authority_alone_is_enough_for_tls_and_so_is_nothing() -> None:
    for variables in ({"ETCD_CA_CERT_FILE": "/ca"}, {}):
        access = etcd_access.from_environment({"ETCD_SCHEME": "https"} | variables)
        assert access.tls == EtcdTls(variables.get("ETCD_CA_CERT_FILE", ""))


def test_the_file_with_the_password_counts_before_the_password_which_is_never_written() -> None:
    variables = {"ETCD_USERNAME": "me", "ETCD_PASSWORD": "secret"}
    access = etcd_access.from_environment(variables)
    assert access.login == EtcdLogin("me", "secret")
    assert "secret" not in f"{access} {access!r} {access.login} {access.login!r}"
    assert "ETCD_PASSWORD" not in etcd_access.to_environment(access)
    login = etcd_access.from_environment(variables | {"ETCD_PASSWORD_FILE": "/f"}).login
    assert login == EtcdLogin("me", "", "/f")


def test_empty_variables_are_as_good_as_none() -> None:
    empty = dict.fromkeys(etcd_access.VARIABLES, "") | {"ETCD_AUTHORITY": "127.0.0.1:4001"}
    assert etcd_access.from_environment(empty) == etcd_access.DEFAULT


@pytest.mark.parametrize(
    ("variables", "named", "expected"),
    [
        ({"ETCD_API": "v3"}, "ETCD_API", "auto, 2 or 3"),
        ({"ETCD_SCHEME": "HTTPS"}, "ETCD_SCHEME", "http or https"),
        ({"ETCD_SCHEME": "ftp"}, "ETCD_SCHEME", "http or https"),
        ({"ETCD_CA_CERT_FILE": "/ca"}, "ETCD_SCHEME", "since ETCD_CA_CERT_FILE is set"),
        (
            {"ETCD_SCHEME": "http", "ETCD_CERT_FILE": "/c", "ETCD_KEY_FILE": "/k"},
            "ETCD_SCHEME",
            "since ETCD_CERT_FILE is set",
        ),
        ({"ETCD_SCHEME": "https", "ETCD_CERT_FILE": "/c"}, "ETCD_KEY_FILE", "ETCD_CERT_FILE"),
        ({"ETCD_SCHEME": "https", "ETCD_KEY_FILE": "/k"}, "ETCD_CERT_FILE", "ETCD_KEY_FILE"),
        ({"ETCD_PASSWORD": "secret"}, "ETCD_USERNAME", "ETCD_PASSWORD gives"),
        ({"ETCD_PASSWORD_FILE": "/f"}, "ETCD_USERNAME", "ETCD_PASSWORD_FILE gives"),
        ({"ETCD_USERNAME": "me"}, "ETCD_PASSWORD_FILE", "password of ETCD_USERNAME"),
        ({"ETCD_USERNAME": "a:b", "ETCD_PASSWORD": "secret"}, "ETCD_USERNAME", "colons"),
        ({"ETCD_USERNAME": "a\nb", "ETCD_PASSWORD": "secret"}, "ETCD_USERNAME", "control"),
        ({"ETCD_USERNAME": "me", "ETCD_PASSWORD": "secret\n"}, "ETCD_PASSWORD", "control"),
    ],
)
def test_what_does_not_fit_together_is_named_without_the_password(variables, named, expected):
    with pytest.raises(InvalidValue) as caught:
        etcd_access.from_environment(variables)
    assert caught.value.message.startswith(f"invalid {named} ")
    assert expected in caught.value.message
    assert "secret" not in caught.value.message
