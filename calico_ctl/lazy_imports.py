"""Stand-ins for modules of the library that others import and hardly ever use.

`dataclasses` imports `inspect`, to write a docstring for a class that has none; netaddr imports
`importlib.resources`, for a list of vendors that nobody here asks for. Together that is a fifth of
all that a short command loads.

Not `importlib.util.LazyLoader`: netaddr asks whether its module has `files`, and h11, which the
Docker API proxy loads, has a class without a docstring: either would load the real one.
"""

import sys
from _thread import allocate_lock
from importlib import import_module
from types import ModuleType

_INSPECT, _RESOURCES = "inspect", "importlib.resources"
_STEPPING_DOWN = allocate_lock()


def prepare() -> None:
    """Put the stand-ins where the real ones are not loaded yet."""
    _load_dataclasses()
    if _RESOURCES not in sys.modules:
        stand_in = _Resources(_RESOURCES)
        sys.modules[_RESOURCES] = stand_in
        package, _, name = _RESOURCES.rpartition(".")
        setattr(import_module(package), name, stand_in)


def _load_dataclasses() -> None:
    """Load it with a stand-in of its own, of which nobody else hears."""
    if _INSPECT in sys.modules or "dataclasses" in sys.modules:
        return
    sys.modules[_INSPECT] = _Inspect(_INSPECT)
    try:
        import_module("dataclasses")
    finally:
        del sys.modules[_INSPECT]


class _StandIn(ModuleType):
    """Is asked for what it has not: that is the real module's, which is loaded then."""

    def __getattr__(self, name: str) -> object:
        with _STEPPING_DOWN:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


class _Inspect(_StandIn):
    def signature(self, _class: type) -> str:
        """Return what a docstring says that nobody wrote: `Name(...)`."""
        return "(...)"


class _Resources(_StandIn):
    def files(self, package: str) -> object:
        """Do what the real one does."""
        return self.__getattr__("files")(package)  # type: ignore[operator]
