"""The usage text of a command, without the time and the packages that its module takes."""

import sys

import calico_ctl.commands
from calico_ctl.commands import COMMANDS


def of(command: str) -> str:
    """Return the usage text of a command; raise ModuleNotFoundError if its module is missing.

    It is the docstring of the module, taken from its code, which is found but not run: from the
    source, from bytecode, and in the frozen binary alike.
    """
    name = f"calico_ctl.commands.{COMMANDS[command].module}"
    for finder in sys.meta_path:
        spec = finder.find_spec(name, calico_ctl.commands.__path__)
        if spec is not None and spec.loader is not None:
            code = spec.loader.get_code(name)  # type: ignore[attr-defined]
            return str(code.co_consts[0]).strip()
    raise ModuleNotFoundError(f"no module {name}")
