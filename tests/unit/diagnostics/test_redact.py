"""Secrets go, and what is none stays readable."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calico_ctl.diagnostics import redact

SECRET = "hunter2-s3cr3t"
LOGIN = base64.b64encode(f"joe:{SECRET}".encode()).decode()
KEY = f"-----BEGIN EC PRIVATE KEY-----\n{SECRET}\n{SECRET}\n-----END EC PRIVATE KEY-----"


@pytest.mark.parametrize(
    "line",
    [
        f"ETCD_PASSWORD={SECRET} next",
        f'{{"password": "{SECRET}", "ip": "10.0.0.1"}}',
        f'{{"password": "a\\"{SECRET}", "ip": "10.0.0.1"}}',
        rf"{{\"password\":\"{SECRET}\"}}",
        f'    password "{SECRET}";',
        f"    password '{SECRET}';",
        f"http://joe:{SECRET}@10.0.0.1:2379/v2/keys",
        f"https://{SECRET}@registry.example.org/v2/",
        f"Authorization: Bearer {SECRET}",
        f"> authorization: Basic {LOGIN}",
        f'"X-Registry-Auth": "{LOGIN}"',
        f"secret: {SECRET}",
        f"API_KEY={SECRET}",
        f"--token={SECRET}",
        f"calicoctl bgp --password {SECRET}",
        f'"--etcd-password",\n        "{SECRET}"',
        f"curl -u joe:{SECRET} http://10.0.0.1",
        f"etcdctl --user root:{SECRET} get",
        f"joe:{SECRET}@proxy.example.org:3128",
        f"http://joe:a/{SECRET}@10.0.0.1:2379",
        f"{{'Authorization': 'Bearer {SECRET}'}}",
        f"got Bearer {SECRET}",
        f"SWMTKN-1-{SECRET}",
        f"MYSQL_PWD={SECRET}",
        f'"db.pass": "{SECRET}"',
        f'"traefik.http.basicauth.users": "admin:{SECRET}"',
        f'{{"auths": {{"registry": {{"auth": "{LOGIN}"}}}}}}',
        KEY,
        KEY.partition("-----END")[0],
    ],
)
def test_what_looks_like_a_secret_is_taken_out(line):
    shown = redact.text(f"before {line}")
    assert SECRET not in shown
    assert LOGIN not in shown
    assert redact.PLACEHOLDER in shown
    assert shown.startswith("before ")


@pytest.mark.parametrize(
    "line",
    [
        "default via 10.99.0.254 dev eth0 proto static",
        "net.ipv4.conf.all.rp_filter = 1",
        "ETCD_PASSWORD_FILE=/etc/calico/etcd-password",
        "    ip saddr @src4 counter packets 12 bytes 1008 accept",
        '/calico/policy/profile/web/tags (revision 12): ["web"]',
        "INFO agent: changed 2 chains and 4 elements in 3.1 ms",
        "author: somebody",
        "busybox:1.36@sha256:3fbc632167424a6d997e74f52b878d7cc478225cffac6bc977eedfe51c7f4e79",
        "net.bridge.bridge-nf-pass-vlan-input-dev = 0",
        "PWD=/root",
        "docker run -u 1000:1000 busybox",
        "http://127.0.0.1:4001/joe@example",
        "--password-file /etc/calico/etcd-password",
        "etcd at http://127.0.0.1:4001 answers",
        "-A DOCKER-USER -i cali+ -j ACCEPT",
    ],
)
def test_what_is_none_stays_as_it_is(line):
    assert redact.text(line, ["hunter2"]) == line


def test_json_stays_json():
    line = json.dumps({"password": SECRET, "as_num": 64512})
    assert json.loads(redact.text(line)) == {"password": redact.PLACEHOLDER, "as_num": 64512}


def test_a_known_secret_is_taken_out_wherever_it_is():
    shown = redact.text(f"it says {SECRET}!", redact.spellings(SECRET))
    assert shown == f"it says {redact.PLACEHOLDER}!"


def test_of_two_secrets_one_within_the_other_nothing_stays():
    shown = redact.text("key abcdefgh-ijkl", ["abcdefgh", "abcdefgh-ijkl"])
    assert shown == f"key {redact.PLACEHOLDER}"


def test_a_secret_that_is_a_short_word_does_not_spoil_everything():
    assert redact.text("one of ten", ["o", "of", "ten"]) == "one of ten"


def test_a_login_in_base64_gives_away_its_password_too():
    assert {SECRET, LOGIN} <= set(redact.spellings(LOGIN))


@pytest.mark.parametrize(
    "name",
    [
        *("ETCD_PASSWORD", "TOKEN", "identityToken", "auth", "md5_password", "AWS_SECRET_KEY"),
        *("identitytoken", "registrytoken", "DB_PASS", "MYSQL_PWD", "basicauth.users"),
    ],
)
def test_names_of_secrets(name):
    assert redact.is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("ETCD_PASSWORD_FILE", "key", "keys", "author", "AuthorName", "tokenPath", "profile_id"),
        *("PWD", "OLDPWD", "bypass", "passive"),
    ],
)
def test_other_names(name):
    assert not redact.is_secret_name(name)


def test_of_a_value_in_etcd_only_the_secret_fields_go():
    stored = redact.stored(
        "/calico/bgp/v1/global/peer_v4/10.0.0.1",
        json.dumps({"ip": "10.0.0.1", "as_num": 64512, "password": SECRET}),
    )
    assert json.loads(stored) == {
        "ip": "10.0.0.1",
        "as_num": 64512,
        "password": redact.PLACEHOLDER,
    }
    assert redact.stored("/calico/config/bgp_password", SECRET) == redact.PLACEHOLDER
    assert redact.stored("/calico/Ready", "true") == "true"
    assert redact.stored("/calico/config/x", f"{{broken password={SECRET}") != SECRET


def test_a_container_keeps_its_calico_variables_only():
    found = {
        "Name": "/web",
        "Args": [f"--pw={SECRET}"],
        "Config": {
            "Env": ["CALICO_IP=10.0.0.1", f"TOKEN={SECRET}", f"PLAIN={SECRET}", "PATH=/bin"],
            "Cmd": ["serve", SECRET],
            "Labels": {"shop": "books"},
            "Healthcheck": {"Test": ["CMD", SECRET]},
        },
    }
    shown = redact.inspected(found, ours=False)
    text = json.dumps(shown)
    assert SECRET not in text
    assert isinstance(shown, dict)
    assert shown["Config"]["Env"] == [
        "CALICO_IP=10.0.0.1",
        f"TOKEN={redact.PLACEHOLDER}",
        f"PLAIN={redact.PLACEHOLDER}",
        f"PATH={redact.PLACEHOLDER}",
    ]
    assert shown["Config"]["Labels"] == {"shop": "books"}


def test_our_own_containers_keep_what_says_how_they_are_set_up():
    found = {
        "Args": ["--name=calico-etcd"],
        "Config": {"Env": ["ETCD_AUTHORITY=10.0.0.1:2379", f"ETCD_PASSWORD={SECRET}", "IP6="]},
    }
    assert "ETCD_PASSWORD_FILE=/a/b" in str(
        redact.inspected({"Env": ["ETCD_PASSWORD_FILE=/a/b"]}, ours=True)
    )
    assert redact.inspected(found, ours=True) == {
        "Args": ["--name=calico-etcd"],
        "Config": {
            "Env": [
                "ETCD_AUTHORITY=10.0.0.1:2379",
                f"ETCD_PASSWORD={redact.PLACEHOLDER}",
                "IP6=",
            ]
        },
    }


def test_secrets_are_found_in_nested_fields():
    found = set(redact.secrets_within({"peers": [{"ip": "10.0.0.1", "password": SECRET}]}))
    assert SECRET in found
    assert "10.0.0.1" not in found


@pytest.mark.timeout(15)
@pytest.mark.parametrize(
    "line",
    [
        "a" * 200_000,
        "password" * 20_000,
        "password:" + " " * 200_000,
        "://" * 40_000,
        'password="' + "\\" * 200_000,
        "-----BEGIN PRIVATE KEY-----" * 1_000,
        "-" * 200_000,
        "a:" * 80_000,
        " a:b@" * 40_000,
        "://a:" * 40_000,
        " --user a:" * 20_000,
    ],
)
def test_no_line_takes_long(line):
    assert redact.text(line) is not None


@settings(max_examples=30, deadline=None)
@given(st.text(min_size=redact.SHORTEST, max_size=20).filter(str.strip), st.text(max_size=30))
def test_whatever_a_password_is_it_is_not_in_the_text(password, around):
    shown = redact.text(f"{around}{password}{around}", [password])
    assert password not in shown.replace(redact.PLACEHOLDER, "")
