"""Every form of every command was run by the tests of this folder, as a process, and worked.

It looks back on them: it comes last (see conftest), and says nothing if only a part of them ran.
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from calico_ctl import grammar, usage_text
from calico_ctl.commands import COMMANDS
from calico_ctl.grammar import Node, Option, Word
from tests.support import elsewhere, output_reference
from tests.support.shell import RUNS, SHOWN

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def whole_folder(request: pytest.FixtureRequest) -> None:
    """Skip unless all other tests of this folder ran in this process."""
    config = request.config
    roots = [(config.invocation_params.dir / arg.partition("::")[0]) for arg in config.args]
    is_whole = any(root.is_dir() and HERE.is_relative_to(root.resolve()) for root in roots)
    narrowing = ("keyword", "markexpr", "deselect", "lf", "last_failed")
    chosen = [getattr(config.option, name, None) for name in narrowing]
    if not is_whole or any(chosen) or "PYTEST_XDIST_WORKER" in os.environ:
        pytest.skip("only a part of the tests of this folder ran in this process")


def covered(form: Node, words: Sequence[str], given: Sequence[Option]) -> bool:
    """Say whether a command line was of that form."""
    if not set(grammar.needed(form)) <= set(given) <= set(grammar.options(form)):
        return False
    left = [form]
    for word in words:
        left = [rest for node in left for rest in grammar.after(node, word)]
    return any(grammar.may_end(node) for node in left)


def written(form: Node) -> str:
    return " ".join(str(leaf) for leaf in grammar.leaves(form) if not isinstance(leaf, Option))


def is_elsewhere(form: Node, option: str = "") -> bool:
    words = [leaf.text for leaf in grammar.leaves(form) if isinstance(leaf, Word)]
    return elsewhere.has(words, option) or elsewhere.tries(words[0], option)


def runs_of(allowed: grammar.Grammar, name: str) -> list[grammar.Scanned]:
    return [grammar.scan(allowed, words) for words in RUNS if name in words[:1]]


def missing(name: str) -> Iterator[str]:
    """Return the forms of a command, and the options of each, that nobody ran."""
    allowed = grammar.read(usage_text.of(name))
    runs = runs_of(allowed, name)
    for pattern in allowed.patterns:
        of_pattern = []
        for form in grammar.forms(pattern.node):
            found = [run for run in runs if covered(form, run.words, [o for o, _ in run.given])]
            of_pattern += found
            if not found and not is_elsewhere(form):
                yield written(form)
        tried = {option for run in of_pattern for option, _ in run.given}
        for option in grammar.options(pattern.node):
            if option not in tried and not any(
                is_elsewhere(form, option.name) for form in grammar.forms(pattern.node)
            ):
                yield f"{written(pattern.node)} with {option.name}"


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "daemon"])
def test_every_form_of_a_command_and_each_of_its_options_was_run(name) -> None:
    found = sorted(set(missing(name)))
    assert not found, "no test ran these to a good end:\n" + "\n".join(found)


def test_every_item_that_was_shown_as_json_has_the_fields_that_are_documented() -> None:
    assert SHOWN
    for text in SHOWN:
        shown = json.loads(text)
        assert shown["schema"] == 1
        for item in shown["items"]:
            output_reference.check(shown["kind"], item)
