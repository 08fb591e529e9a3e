"""systemd as a lab host's service manager, with no services but those that a test brings.

It is the machine's own program, process 1 of namespaces inside the host's. Units come from
`UNITS` and from what is installed there; the machine's units, which would settle the machine's
kernel anew, are not seen. There is no journal: a service writes into a file of the host.
"""

from pathlib import Path

from tests.support import command
from tests.support.command import Result
from tests.support.host import Host

PROGRAM = Path("/lib/systemd/systemd")
UNITS = "/run/units"
INSTALLED = "/usr/lib/systemd/system"
TARGETS = ("sysinit", "basic", "shutdown", "network-online", "multi-user")

_OVERLAYS = """
for directory in /usr /var/lib/dpkg; do
    layer=$1/overlay$directory
    mkdir -p "$layer/upper" "$layer/work"
    mount -t overlay -o "lowerdir=$directory,upperdir=$layer/upper,workdir=$layer/work" \
        overlay "$directory"
done
"""
_JOIN = """
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then trees=/sys/fs/cgroup
else trees='/sys/fs/cgroup/*'; fi
for tree in $trees; do
    group=$tree/services
    mkdir "$group"
    for file in cpuset.cpus cpuset.mems; do
        [ -e "$tree/cgroup.controllers" ] || [ ! -e "$tree/$file" ] || cat "$tree/$file" >"$group/$file"
    done
    echo 0 >"$group/cgroup.procs"
done
exec unshare --pid --mount --cgroup --ipc --fork --kill-child sh -ec "$0"
"""
_BECOME = """
mount --make-rprivate /
mount -t proc proc /proc
# they are the machine's, not the host's
for directory in fs kernel vm; do
    mount --bind "/proc/sys/$directory" "/proc/sys/$directory"
    mount -o remount,bind,ro "/proc/sys/$directory"
done
umount --recursive /sys/fs/cgroup
mount -t tmpfs tmpfs /tmp
exec $PROGRAM --system --unit=multi-user.target --log-target=null --show-status=no
"""


def start(host: Host) -> None:
    """Start it in a host, whose /usr and packages are then the host's own to change."""
    host.run(["sh", "-ec", _OVERLAYS, "overlays", str(host.directory)], quiet=True)
    for name in TARGETS:
        unit(host, f"{name}.target", "[Unit]\nDefaultDependencies=no\n")
    environment = {
        "container": "lab",
        "PROGRAM": str(PROGRAM),
        "SYSTEMD_UNIT_PATH": f"{UNITS}:/run/systemd/transient",
        "SYSTEMD_GENERATOR_PATH": "/run/no-generators",
    }
    host.spawn(["sh", "-ec", _JOIN, _BECOME], "systemd.log", environment)
    command.wait_until(lambda: systemctl(host, "is-system-running").out == "running\n", 20, "systemd runs")


def unit(host: Host, name: str, text: str) -> None:
    """Write a unit, or a part of one."""
    host.run(["sh", "-ec", 'mkdir -p "$(dirname "$1")"; cat >"$1"', "unit", f"{UNITS}/{name}"], stdin=text, quiet=True)


def systemctl(host: Host, *arguments: str) -> Result:
    return host.run(["systemctl", *arguments], check=False)
