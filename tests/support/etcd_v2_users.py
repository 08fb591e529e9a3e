"""Users of etcd's v2 API: only who says a name and a password may read and write what is ours."""

import json

from tests.support import cluster as calico
from tests.support.host import Host

USER, PASSWORD = "calico", "a-secret-that-nobody-may-see"
PATIENCE = 60.0


def require_password(host: Host, url: str, *options: str) -> None:
    """Have the etcd at that URL want one from now on; `options` are what curl has to be told."""
    ask = ["curl", "-sS", "-m", "60", *options, "-u", "root:r"]
    ask += ["-H", "Content-Type: application/json", "-X", "PUT"]
    calico.eventually(
        "etcd takes users",
        lambda: host.run([*ask, f"{url}/v2/auth/users/root"], check=False, quiet=True).code == 0,
        timeout=PATIENCE,
    )
    ours = {"kv": {"read": ["/calico*"], "write": ["/calico*"]}}
    everything = {"kv": {"read": ["/*"], "write": ["/*"]}}
    wanted: list[tuple[str, object]] = [
        ("users/root", {"user": "root", "password": "r"}),
        ("roles/calico", {"role": "calico", "permissions": ours}),
        (f"users/{USER}", {"user": USER, "password": PASSWORD, "roles": ["calico"]}),
        ("enable", None),
        ("roles/guest", {"role": "guest", "revoke": everything}),
    ]
    for path, body in wanted:
        data = [] if body is None else ["-d", json.dumps(body)]
        host.run([*ask, f"{url}/v2/auth/{path}", "-f", *data], quiet=True)
