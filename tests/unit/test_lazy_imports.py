"""Stand-ins for modules that hardly anybody asks for: who does ask gets the real thing."""

import subprocess
import sys

import pytest

from tests.support.paths import CHECKOUT

LOADED = "'inspect' in sys.modules, 'importlib.resources._common' in sys.modules"


def said(script: str) -> list[str]:
    """What a script prints in an interpreter that has loaded nothing else, once it is prepared."""
    before = "import sys; from calico_ctl import lazy_imports; lazy_imports.prepare()\n"
    done = subprocess.run(
        [sys.executable, "-c", before + script],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()


def test_what_commands_import_does_without_them() -> None:
    assert said(f"import dataclasses, h11, netaddr; print({LOADED})") == ["False False"]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("import inspect; print(inspect.signature(lambda a: 0))", "(a)"),
        ("from inspect import signature; print(signature(lambda a: 0))", "(a)"),
        ("import importlib.resources as r; print(r.files('netaddr.eui').name)", "eui"),
        ("from importlib.resources import files; print(files('netaddr.eui').name)", "eui"),
        ("from importlib import resources; print(resources.files('netaddr.eui').name)", "eui"),
        ("import importlib.resources.abc as a; print(a.Traversable.__name__)", "Traversable"),
        ("from importlib.resources import abc; print(abc.__name__)", "importlib.resources.abc"),
    ],
)
def test_who_asks_for_one_gets_it(script, expected) -> None:
    again = f"import dataclasses, netaddr\n{script}\nimport inspect, importlib.resources\n"
    both = "print(type(inspect).__name__, type(importlib.resources).__name__)"
    *printed, types = said(again + script + "\nimportlib.resources.abc\n" + both)
    assert printed == [expected, expected]
    assert types == "module module"


def test_netaddr_still_finds_who_made_an_interface() -> None:
    vendor = "print(netaddr.EUI('00-1B-77-49-54-FD').oui.registration().org)"
    assert said(f"import netaddr; {vendor}") == ["Intel Corporate"]


def test_classes_are_made_with_a_docstring_and_without() -> None:
    script = """
from dataclasses import dataclass
@dataclass(frozen=True, slots=True)
class Written:
    "It says."
    a: int
@dataclass
class Bare:
    a: int = 1
print(Written.__doc__, Bare.__doc__, Written(2), Bare())
"""
    assert said(script) == ["It says. Bare(...) Written(a=2) Bare(a=1)"]


def test_what_is_loaded_already_stays() -> None:
    script = """
import inspect, importlib.resources
before = inspect, importlib.resources
lazy_imports.prepare()
import dataclasses
print(before == (sys.modules["inspect"], sys.modules["importlib.resources"]))
"""
    assert said(script) == ["True"]
