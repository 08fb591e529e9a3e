"""A lab: an underlay and N Docker hosts on it, and nothing left of it afterwards.

    with Lab(2) as lab:
        lab.hosts[0].run("ping -c1 10.99.0.2")

Several labs may be up at once: every name on the machine (control groups, directories) carries the
process that made the lab. The underlay is a bridge in a namespace of its own, because in the
machine's namespace Docker's and the machine's own firewall would judge the hosts' traffic.
"""

import contextlib
import itertools
import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import cgroups, images
from tests.support.host import Host
from tests.support.netns import NetNs
from tests.support.paths import STATE

_numbers = itertools.count(1)
KEPT = "kept"
"""A file in the directory of a lab that outlives its maker: `name pid` of underlay and hosts."""


class Lab:
    """Hosts on one underlay. `survives`: they may stay up after this process (see `keep`).

    `root`: they have nothing but what is in this directory, instead of the machine's programs.
    """

    def __init__(
        self,
        size: int,
        *,
        node_image: bool = False,
        docker: bool = True,
        survives: bool = False,
        root: Path | None = None,
    ) -> None:
        self.name = f"calico-lab-{os.getpid()}-{next(_numbers)}"
        self.directory = STATE / self.name
        self._survives = survives
        self._docker = docker
        self._node_image = node_image
        self._kept = False
        self.hosts = [self._host(number) for number in range(1, size + 1)]
        for host in self.hosts:
            host.root = root

    def _host(self, number: int) -> Host:
        home = self.directory / f"host{number}"
        return Host(number, home, f"{self.name}-host{number}", self._survives)

    def __enter__(self) -> Self:
        remove_abandoned()
        self.directory.mkdir(parents=True)
        self.underlay = NetNs(self._survives)
        try:
            self._bring_up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._kept:
            self.close()

    def _bring_up(self) -> None:
        # snooping would hold back neighbour discovery until it has seen the hosts' reports
        self.underlay.run(
            ["ip", "-batch", "-"],
            stdin="link add underlay type bridge mcast_snooping 0\nlink set underlay up\n",
        )
        for host in self.hosts:
            host.power_on()
            host.plug_in(self.underlay)
        if not self._docker:
            return
        with images.locked():
            seed = self._seed()
            for host in self.hosts:
                images.plant(seed, host)
        with ThreadPoolExecutor() as pool:
            list(pool.map(Host.start_docker, self.hosts))

    def _seed(self) -> Path:
        names = images.ensure(self._node_image)
        seed = images.seed_directory(names)
        if not seed.exists():
            spare = self._host(0)
            spare.power_on()
            try:
                images.make_seed(seed, names, spare)
            finally:
                spare.power_cut()
                spare.wipe()
        return seed

    def keep(self) -> None:
        """Leave the hosts up when this process ends; `remove_kept` removes them later."""
        self._kept = True
        lines = [f"underlay {self.underlay.pid}"]
        lines += [f"{host.name} {host.pid}" for host in self.hosts]
        (self.directory / KEPT).write_text("\n".join(lines) + "\n")

    def close(self) -> None:
        """Take everything down, and see that nothing of it is left on the machine."""
        for host in self.hosts:
            host.power_cut()
        self.underlay.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        left = self.remains()
        assert not left, f"the lab left behind: {left}"

    def remains(self) -> list[str]:
        """What is still on the machine of a lab that was taken down: should be nothing."""
        found = [f"directory {self.directory}"] if self.directory.exists() else []
        for host in self.hosts:
            found += [f"process {pid}" for pid in cgroups.processes(host.cgroup)]
            found += [f"{path}" for path in cgroups.directories(host.cgroup) if path.exists()]
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        found += [f"mount {line}" for line in mounts if str(self.directory) in line]
        return found


def remove_abandoned() -> None:
    """Clear what labs left whose process was killed. Their processes ended with it."""
    for directory in STATE.glob("calico-lab-*"):
        maker = directory.name.split("-")[2]
        if not Path(f"/proc/{maker}").exists() and not (directory / KEPT).exists():
            _remove(directory, [path.name for path in directory.glob("host*")])


def kept_hosts() -> dict[str, int]:
    """Hosts of kept labs that are still up: name and first process; the newest lab wins."""
    hosts: dict[str, int] = {}
    notes = STATE.glob(f"calico-lab-*/{KEPT}")
    for note in sorted(notes, key=lambda path: path.stat().st_mtime):
        processes = _noted(note)
        for name in processes:
            group = cgroups.processes(f"{note.parent.name}-{name}")
            if processes[name] in group:
                hosts[name] = processes[name]
    return hosts


def remove_kept(which: str = "calico-lab-*") -> list[str]:
    """Take down the kept lab of that name (or all of them); give their names."""
    removed = []
    for note in STATE.glob(f"{which}/{KEPT}"):
        processes = _noted(note)
        underlay = processes.pop("underlay")
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # the number may have been given to somebody else since, after a restart of the machine
            if Path(f"/proc/{underlay}/comm").read_text().strip() == "sleep":
                os.kill(underlay, signal.SIGKILL)
        _remove(note.parent, list(processes))
        removed.append(note.parent.name)
    return removed


def _noted(note: Path) -> dict[str, int]:
    words = [line.split() for line in note.read_text().splitlines()]
    return {name: int(pid) for name, pid in words}


def _remove(directory: Path, hosts: list[str]) -> None:
    for host in hosts:
        cgroups.kill(f"{directory.name}-{host}")
        cgroups.remove(f"{directory.name}-{host}")
    shutil.rmtree(directory, ignore_errors=True)
