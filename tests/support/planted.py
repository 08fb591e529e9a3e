"""Secrets of every sort on a host of a lab, and whether a text gives one away.

Each is planted where such secrets are in life, and `everything` shows that they really are there: a
bundle without a secret that was never on the host would prove nothing.
"""

import base64
import json
from collections.abc import Mapping
from urllib.parse import quote

from tests.support import cluster as calico
from tests.support.cluster import Cluster
from tests.support.host import Host

SECRETS = {
    name: f"planted-{name}-7f3a/b"
    for name in (
        *("environment", "ours", "client-proxy", "label", "option", "proxy", "argument", "health"),
        *(
            "engine-http",
            "engine-https",
            "engine-label",
            "registry",
            "identity",
            "etcd",
            "etcd-file",
            "url",
        ),
        *("peer", "key", "header", "stored", "tags", "rules", "level"),
    )
}
LOGIN = base64.b64encode(f"joe:{SECRETS['registry']}".encode()).decode()
ALL = SECRETS | {"login": LOGIN}
PASSWORD_FILE = "/etc/planted-password"
_LEVEL = "/calico/host/{}/config/LogSeverityScreen"
_BAD = "/calico/policy/profile/planted"


def before_the_node(host: Host) -> None:
    """Plant what Docker and its client have; the engine begins again. /root is the host's own."""
    joe = "http://joe:{}@127.0.0.1:9"
    login = {"auth": LOGIN, "identitytoken": SECRETS["identity"]}
    proxies = {"default": {"httpProxy": joe.format(SECRETS["client-proxy"])}}
    client = {"auths": {"registry.example.org": login}, "proxies": proxies}
    engine = {"labels": [f"registry.token={SECRETS['engine-label']}"]}
    for path, what in (("/root/.docker/config.json", client), ("/etc/docker/daemon.json", engine)):
        host.run(f"mkdir -p {path.rpartition('/')[0]}; cat >{path}", stdin=json.dumps(what))
    host.run(f"umask 077; cat >{PASSWORD_FILE}", stdin=f"{SECRETS['etcd-file']}\n")
    host.stop_docker()
    kinds = ("http", "https")
    host.start_docker(
        {
            f"{kind.upper()}_PROXY": joe.format(quote(SECRETS[f"engine-{kind}"], ""))
            for kind in kinds
        }
    )


def run_web(host: Host) -> None:
    """Start a container `web` that has to do with Calico, with secrets all over it."""
    words = (
        *("--env=CALICO_NOTE=seen", f"--env=CALICO_TOKEN={SECRETS['ours']}"),
        f"--env=GREETING={SECRETS['environment']}",
        *("--label", f"db.password={SECRETS['label']}"),
        *("--label", f"start=serve --db-password {SECRETS['option']}"),
        *("--label", f"proxy=joe:{SECRETS['proxy']}@proxy:3128"),
        f"--health-cmd=echo {SECRETS['health']}",
    )
    program = ("busybox", "sh", "-c", "sleep 1d", "--", SECRETS["argument"])
    host.docker("run", "-d", "--name", "web", *words, *program)


def in_the_cluster(cluster: Cluster, host: Host) -> None:
    """Plant what etcd, BIRD, the agent and logs have; keys that nobody can use are among it."""
    peer = {"ip": "10.99.0.200", "as_num": "64999", "password": SECRETS["peer"]}
    cluster.put("/calico/bgp/v1/global/peer_v4/10.99.0.200", peer)
    cluster.write("/calico/planted/token", SECRETS["stored"])
    cluster.write(f"{_BAD}/tags", f"password={SECRETS['tags']}")
    cluster.put(f"{_BAD}/rules", {"inbound_rules": [{"password": SECRETS["rules"]}]})
    cluster.write(_LEVEL.format(host.name), f"token: {SECRETS['level']}")
    lines = (
        f"WARNING cannot reach http://joe:{quote(SECRETS['url'], '')}@10.0.0.1:2379",
        f"-----BEGIN PRIVATE KEY-----\n{SECRETS['key']}\n-----END PRIVATE KEY-----",
        f"DEBUG Authorization: Basic {base64.b64encode(SECRETS['header'].encode()).decode()}",
        "INFO by value: "
        + " ".join(SECRETS[each] for each in ("etcd", "etcd-file", "peer", "identity", "stored"))
        + f" {LOGIN}",
        "INFO what is no secret stays",
    )
    host.run(
        "mkdir -p /var/log/calico/planted; cat >/var/log/calico/planted/current",
        stdin="\n".join(lines) + "\n",
    )
    calico.eventually("BIRD has the peer", lambda: SECRETS["peer"] in _bird(host))


def repair(cluster: Cluster, host: Host) -> None:
    """Take away what keeps the agent from its work."""
    cluster.delete(_BAD)
    cluster.delete(_LEVEL.format(host.name))


def variables() -> dict[str, str]:
    """Return what etcd asks of whoever collects, though this one does not look."""
    return {
        "ETCD_USERNAME": "calico-user",
        "ETCD_PASSWORD": SECRETS["etcd"],
        "ETCD_PASSWORD_FILE": PASSWORD_FILE,
    }


def everything(cluster: Cluster, host: Host) -> str:
    """Return all that the places say in which secrets were planted."""
    files = "/root/.docker/config.json /etc/docker/daemon.json /var/log/calico/planted/current"
    shown = [
        host.run(line, quiet=True).out
        for line in (
            "docker inspect web",
            f"cat {files} {PASSWORD_FILE}",
            "cat /proc/$(cat /run/docker.pid)/environ",
        )
    ]
    return "\n".join(
        [*shown, _bird(host), *cluster.leaves("/calico").values(), *variables().values()]
    )


def is_in(secret: str, text: str) -> bool:
    """Say whether a text has a secret in it, however it is written."""
    return any(form in text for form in forms(secret))


def given_away(texts: Mapping[str, str], secrets: Mapping[str, str] = ALL) -> set[tuple[str, str]]:
    """Return which text gives which secret away, in its name too, and however it is written."""
    return {
        (path, name)
        for name, secret in secrets.items()
        for path, text in texts.items()
        if is_in(secret, f"{path}\n{text}")
    }


def forms(secret: str) -> set[str]:
    """Return a secret as plain text, JSON, addresses and base64 write it."""
    coded = {
        base64.b64encode(f"{before}{secret}".encode())[4:-4].decode() for before in ("", "x", "xx")
    }
    return {secret, secret.replace("/", "\\/"), quote(secret, ""), *coded}


def _bird(host: Host) -> str:
    return host.run("docker exec calico-node cat /etc/calico/bird.conf", quiet=True).out
