"""The tree can be read: files are named after what is in them, tests mirror the source."""

import ast
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGE = CHECKOUT / "calico_ctl"
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"}

# Modules with no test of their own yet. The list may only shrink: a module that gets a test must
# leave it.
WITHOUT_TEST: set[str] = set()


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@cache
def parsed(module: Path) -> ast.Module:
    return ast.parse(module.read_text())


def mirror(module: Path, suite: str = "unit") -> Path:
    inside = module.relative_to(PACKAGE)
    return CHECKOUT / "tests" / suite / inside.parent / f"test_{inside.name}"


def has_behaviour(module: Path) -> bool:
    """Whether a function in it does something: declarations and Protocols need no test."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    return any(isinstance(node, functions) and acts(node.body) for node in ast.walk(parsed(module)))


def acts(body: list[ast.stmt]) -> bool:
    """Whether there is more than a docstring, an ellipsis, and arguments that are kept."""
    return not all(
        (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
        or (isinstance(line, ast.Assign) and is_kept(line.value, line.targets))
        for line in body
    )


def is_kept(argument: ast.expr, targets: list[ast.expr]) -> bool:
    """Whether the line is `self.name = name`."""
    match argument, targets:
        case ast.Name(name), [ast.Attribute(ast.Name("self"), attribute)]:
            return name == attribute
        case _:
            return False


def test_no_file_has_a_name_that_says_nothing():
    assert [path for path in modules() if path.stem in NAMELESS] == []


def test_each_module_has_a_test_at_the_same_path():
    """In tests/unit, or in tests/integration if all it does is in the outside world."""
    untested = {
        str(module.relative_to(PACKAGE)): f"expected {mirror(module).relative_to(CHECKOUT)}"
        for module in modules()
        if has_behaviour(module)
        if not mirror(module).exists() and not mirror(module, "integration").exists()
    }
    assert {name: path for name, path in untested.items() if name not in WITHOUT_TEST} == {}
    assert untested.keys() >= WITHOUT_TEST, "these have a test now: take them off the list"


def test_the_list_of_exceptions_names_real_modules():
    assert {name for name in WITHOUT_TEST if not (PACKAGE / name).exists()} == set()


def test_each_module_has_a_door_sign():
    assert [module for module in modules() if not ast.get_docstring(parsed(module))] == []
