import importlib
import sys

import pytest

from calico_ctl import usage_text
from calico_ctl.commands import COMMANDS, Command


@pytest.mark.parametrize("name", COMMANDS)
def test_the_text_is_the_docstring_of_the_module(name) -> None:
    module = importlib.import_module(f"calico_ctl.commands.{COMMANDS[name].module}")
    assert usage_text.of(name) == (module.__doc__ or "").strip()


def test_the_module_is_not_run(monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, "calico_ctl.commands.version", raising=False)
    assert "calicoctl version" in usage_text.of("version")
    assert "calico_ctl.commands.version" not in sys.modules


def test_a_module_that_is_missing_is_an_error(monkeypatch) -> None:
    monkeypatch.setitem(COMMANDS, "lost", Command("lost", ""))
    with pytest.raises(ModuleNotFoundError, match=r"calico_ctl\.commands\.lost"):
        usage_text.of("lost")
