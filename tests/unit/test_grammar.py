import pytest

from calico_ctl import grammar
from calico_ctl.grammar import Option

TEXT = """Plant trees.

Usage:
  calicoctl tree show [--detailed | --counters]
  calicoctl tree (plant|fell) <TREES>... [--at=<PLACE>]
                 [-d <DEPTH>]
  calicoctl tree <TREE> rename <NAME> --sure

Options:
  --detailed             Every leaf.
  --counters             How many.
  --at=<PLACE>
                         Where.
  -d <DEPTH> --depth=<DEPTH>  How deep [default: 3].
  --sure                 Yes.
  -h --help              This.

Examples:
  calicoctl tree show
"""


@pytest.fixture(scope="module")
def tree() -> grammar.Grammar:
    return grammar.read(TEXT)


def next_words(tree, *words) -> set[str]:
    """What may come after some words; none if they do not fit."""
    states = grammar.begin(tree)
    for word in words:
        states = grammar.follow(states, word)
    return {str(leaf) for _, node in states for leaf in grammar.expected(node)}


def is_whole(tree, *words) -> bool:
    states = grammar.begin(tree)
    for word in words:
        states = grammar.follow(states, word)
    return any(grammar.may_end(node) for _, node in states)


def test_each_form_is_kept_with_its_continuation_lines(tree) -> None:
    sources = [pattern.source for pattern in tree.patterns]
    assert len(sources) == 3
    assert sources[1].splitlines()[1].strip() == "[-d <DEPTH>]"


def test_options_have_all_their_names_and_their_value(tree) -> None:
    assert [str(each) for each in tree.options] == [
        "--detailed",
        "--counters",
        "--at=<PLACE>",
        "--depth=<DEPTH>",
        "--sure",
        "--help",
    ]
    assert Option(("-d", "--depth"), "<DEPTH>") in tree.options


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"tree"}),
        (["tree"], {"show", "plant", "fell", "<TREE>"}),
        (["tree", "show"], {"rename"}),
        (["tree", "plant"], {"<TREES>", "rename"}),
        (["tree", "fell", "oak"], {"<TREES>"}),
        (["tree", "fell", "oak", "elm"], {"<TREES>"}),
        (["tree", "oak", "rename", "elm"], set()),
        (["tree", "oak", "burn"], set()),
    ],
)
def test_after_some_words_come_others(tree, words, expected) -> None:
    assert next_words(tree, *words) == expected


@pytest.mark.parametrize(
    ("words", "whole"),
    [
        (["tree"], False),
        (["tree", "show"], True),
        (["tree", "plant"], False),
        (["tree", "plant", "oak"], True),
        (["tree", "plant", "oak", "elm"], True),
        (["tree", "oak", "rename"], False),
    ],
)
def test_a_line_is_whole_when_no_word_is_missing(tree, words, whole) -> None:
    assert is_whole(tree, *words) == whole


def test_options_that_a_form_cannot_do_without_are_known(tree) -> None:
    assert [str(each) for each in grammar.needed(tree.patterns[2].node)] == ["--sure"]
    assert grammar.needed(tree.patterns[0].node) == []


def test_the_branches_of_a_choice_are_known(tree) -> None:
    found = list(grammar.choices(tree.patterns[0].node))
    assert [[str(each) for each in grammar.leaves(branch)] for branch in found[0]] == [
        ["--detailed"],
        ["--counters"],
    ]


@pytest.mark.parametrize(
    ("argv", "words", "given"),
    [
        (["tree", "--at=x", "show"], ("tree", "show"), [("--at", "x")]),
        (["tree", "--at", "-1", "show"], ("tree", "show"), [("--at", "-1")]),
        (["tree", "-d", "4"], ("tree",), [("--depth", "4")]),
        (["tree", "-d4"], ("tree",), [("--depth", "4")]),
        (["tree", "--det"], ("tree",), [("--detailed", "")]),
        (["tree", "-"], ("tree", "-"), []),
        (["tree", "--", "--at", "-1"], ("tree", "--at", "-1"), []),
    ],
)
def test_options_are_found_wherever_they_are(tree, argv, words, given) -> None:
    scanned = grammar.scan(tree, argv)
    assert scanned.trouble is None
    assert scanned.words == words
    assert [(option.name, value) for option, value in scanned.given] == given


@pytest.mark.parametrize(
    ("word", "what"),
    [
        ("--dethailed", grammar.UNKNOWN),
        ("-1", grammar.UNKNOWN),
        ("-rf", grammar.UNKNOWN),
        ("--de", grammar.AMBIGUOUS),
        ("--at", grammar.WANTS_VALUE),
        ("-d", grammar.WANTS_VALUE),
        ("--sure=yes", grammar.TAKES_NO_VALUE),
        ("-hx", grammar.TAKES_NO_VALUE),
    ],
)
def test_an_option_that_cannot_be_understood_is_named(tree, word, what) -> None:
    trouble = grammar.scan(tree, ["tree", word]).trouble
    assert trouble is not None
    assert trouble.what == what


def test_the_options_shortcut_stands_for_every_option() -> None:
    text = "Usage:\n  calicoctl tree [options]\n\nOptions:\n  --a  One.\n  --b  Two.\n"
    node = grammar.read(text).patterns[0].node
    assert [option.name for option in grammar.options(node)] == ["--a", "--b"]
    assert grammar.needed(node) == []


def test_a_choice_between_an_option_and_a_word_is_open_until_one_is_there() -> None:
    node = grammar.read("Usage:\n  calicoctl fell (--at=<N>|<TREE>...)\n").patterns[0].node
    (rest,) = grammar.after(node, "fell")
    (at,) = grammar.options(node)
    assert grammar.unchosen(rest, []) == ["--at=<N>", "<TREE>"]
    assert grammar.unchosen(rest, [at]) == []


def test_options_that_may_be_repeated_are_known() -> None:
    text = "Usage:\n  calicoctl do (-f <FILE>)... [--at=<N>]\n\nOptions:\n  -f <FILE>  It.\n"
    node = grammar.read(text).patterns[0].node
    assert [each.name for each in grammar.repeatable(node)] == ["-f"]
    assert [each.name for each in grammar.needed(node)] == ["-f"]


def test_a_form_has_no_choice_of_words_left() -> None:
    text = "Usage:\n  calicoctl tree (add|cut [now]) [on|off] [<A>|--b] (--c|<D>...)\n"
    found = grammar.forms(grammar.read(text).patterns[0].node)
    assert [" ".join(str(leaf) for leaf in grammar.leaves(form)) for form in found] == [
        f"tree {first}{then} <A> --b {last}"
        for first in ("add", "cut", "cut now")
        for then in ("", " on", " off")
        for last in ("--c", "<D>")
    ]
