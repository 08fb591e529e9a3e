"""A machine to be diagnosed, made of fakes: an engine with containers, an environment, a store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from calico_ctl.errors import CalicoError, NotFound
from calico_ctl.model import etcd_access
from calico_ctl.model.container import OwnContainer
from calico_ctl.model.etcd_access import EtcdAccess
from tests.support.memory_store import MemoryStore

Json = Mapping[str, object]


def container(name: str, *variables: str, **config: object) -> Json:
    """What an engine knows of a container: its environment, and more of its configuration."""
    return {
        "Id": f"id-of-{name}",
        "Name": f"/{name}",
        "Args": ["--password=in-args"],
        "State": {"Running": True},
        "Config": {"Env": list(variables), "Labels": {"shop": "books"}, **config},
    }


@dataclass
class FakeEngine:
    """An engine that knows containers by name; `fail` is raised by every call. It counts calls."""

    containers: dict[str, Json] = field(default_factory=dict)
    number: str = "24.0.7"
    swarm: bool = False
    own: dict[str, OwnContainer] = field(default_factory=dict)
    printed: str = ""
    fail: CalicoError | None = None
    silent: set[str] = field(default_factory=set)
    asked: int = 0

    def hurried(self) -> "FakeEngine":
        """The same: nobody waits for it."""
        return self

    def version(self) -> Json:
        """Its version."""
        self._answer()
        return {"Version": self.number}

    def info(self) -> Json:
        """Itself, with a proxy that takes a password."""
        self._answer()
        return {"Containers": len(self.containers), "HttpProxy": "http://joe:proxypw@proxy:3128"}

    def listing(self) -> Sequence[Json]:
        """All containers, as `docker ps` shows them."""
        self._answer()
        return [
            {"Id": each["Id"], "Names": [each["Name"]], "Command": "serve --password=in-command"}
            for each in self.containers.values()
        ]

    def inspect(self, name_or_id: str) -> Json:
        """One of them, by its id."""
        self._answer()
        for name, each in self.containers.items():
            if each["Id"] == name_or_id:
                if name in self.silent:
                    raise CalicoError(f"{name} does not answer")
                return each
        raise NotFound(f"there is no container {name_or_id}")

    def manages_swarm(self) -> bool:
        """Whether it does."""
        self._answer()
        return self.swarm

    def own_container(self, name: str) -> OwnContainer | None:
        """One of our own."""
        self._answer()
        return self.own.get(name)

    def execute(self, name: str, argv: Sequence[str]) -> str:
        """Print what was said, and which program."""
        self._answer()
        if name not in self.containers:
            raise NotFound(f"there is no container {name}")
        return f"{argv[-1]}: {self.printed}\n(exit code 0)\n"

    def output(self, name: str, lines: int | None = None) -> str:
        """What it printed."""
        return self.execute(name, ["output", str(lines)])

    def _answer(self) -> None:
        self.asked += 1
        if self.fail is not None:
            raise self.fail


@dataclass(frozen=True)
class FakeSettings:
    """An environment."""

    etcd_variables: Mapping[str, str] = field(default_factory=dict)
    docker: Mapping[str, str] = field(default_factory=dict)

    def etcd(self) -> EtcdAccess:
        """How etcd is reached."""
        return etcd_access.from_environment(self.etcd_variables)


@dataclass
class Diagnosed:
    """Implements `diagnostics.platform.Platform`; also passes for the command's own platform."""

    settings: FakeSettings = field(default_factory=FakeSettings)
    hostname: str = "host1"
    store: MemoryStore = field(default_factory=MemoryStore)
    docker: FakeEngine = field(default_factory=FakeEngine)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nobody was to ask for {name}")


def as_platform(machine: Diagnosed) -> Any:
    """The machine for where a larger platform is asked for."""
    return cast("Any", machine)
