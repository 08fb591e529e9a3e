"""The tree can be read: files are named after what is in them, tests mirror the source."""

import ast
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGE = CHECKOUT / "calico_ctl"
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"}

# Modules with no test of their own yet. The list may only shrink: a module that gets a test must
# leave it.
WITHOUT_TEST: set[str] = set()


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def mirror(module: Path, suite: str = "unit") -> Path:
    inside = module.relative_to(PACKAGE)
    return CHECKOUT / "tests" / suite / inside.parent / f"test_{inside.name}"


def has_behaviour(module: Path) -> bool:
    """Whether a function in it does something: declarations and Protocols need no test."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    tree = ast.parse(module.read_text())
    return any(isinstance(node, functions) and acts(node.body) for node in ast.walk(tree))


def acts(body: list[ast.stmt]) -> bool:
    """Whether there is more than a docstring, an ellipsis, and arguments that are kept."""
    return not all(
        (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
        or (isinstance(line, ast.Assign) and ast.unparse(line) == kept(line.value))
        for line in body
    )


def kept(argument: ast.expr) -> str:
    name = ast.unparse(argument)
    return f"self.{name} = {name}"


def test_no_file_has_a_name_that_says_nothing():
    assert [path for path in modules() if path.stem in NAMELESS] == []


@pytest.mark.parametrize("module", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_module_has_a_test_at_the_same_path(module):
    """In tests/unit, or in tests/integration if all it does is in the outside world."""
    if not has_behaviour(module):
        return
    name = str(module.relative_to(PACKAGE))
    if mirror(module).exists() or mirror(module, "integration").exists():
        assert name not in WITHOUT_TEST, "it has a test now: take it off the list"
    else:
        assert name in WITHOUT_TEST, f"expected {mirror(module).relative_to(CHECKOUT)}"


def test_the_list_of_exceptions_names_real_modules():
    assert {name for name in WITHOUT_TEST if not (PACKAGE / name).exists()} == set()


@pytest.mark.parametrize("module", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_module_has_a_door_sign(module):
    assert ast.get_docstring(ast.parse(module.read_text()))
