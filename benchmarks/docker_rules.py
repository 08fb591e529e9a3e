"""The rules that a Docker Engine keeps on a host of ours, as `iptables-restore` reads them.

What engine 20.10 makes for its default bridge. A host of ours has them anyway, so the path through
them is what our table is compared with. In DOCKER-USER are the accept rules that our agent puts
there; without our table nothing marks a packet, so they do not ask for the mark then.
"""

import re

from benchmarks.lab import Host
from calico_ctl.dataplane import docker_firewall

_RULES = """\
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
{accepted}-A DOCKER-USER -j RETURN
COMMIT
"""
_NOTHING = """\
*nat
COMMIT
*filter
:FORWARD ACCEPT [0:0]
COMMIT
"""


def load(host: Host, *, marked: bool) -> None:
    """Put them there; `marked`: only what our table has accepted passes."""
    accepted = [" ".join(rule) for rule in docker_firewall.rules()]
    if not marked:
        accepted = [re.sub("-m mark --mark [^ ]+ ", "", rule) for rule in accepted]
    lines = "".join(f"-A DOCKER-USER {rule}\n" for rule in accepted)
    host.run("iptables-nft-restore", stdin=_RULES.format(accepted=lines))


def unload(host: Host) -> None:
    """Take them away; what is left forwards everything."""
    host.run("iptables-nft-restore", stdin=_NOTHING)
