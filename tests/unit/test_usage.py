import pytest

from calico_ctl import usage
from calico_ctl.errors import ExitCode, UsageError
from calico_ctl.usage import HelpWanted

TEXT = """Plant trees.

Usage:
  calicoctl tree show [--detailed]
  calicoctl tree (plant|fell) <TREES>... [--at=<PLACE>] [--depth=<DEPTH>]

Options:
  --detailed       Every leaf.
  --at=<PLACE>     Where.
  --depth=<DEPTH>  How deep [default: 3].
"""


def test_words_and_options_are_found_where_they_are() -> None:
    words = usage.parse(TEXT, ["tree", "plant", "oak", "--at=here", "elm"])
    assert words.flag("plant")
    assert not words.flag("fell")
    assert not words.flag("--detailed")
    assert words.chosen("fell", "plant") == "plant"
    assert words.texts("<TREES>") == ["oak", "elm"]
    assert words.optional("--at") == "here"
    assert words.text("--depth") == "3"


def test_what_is_not_there_is_none_or_empty() -> None:
    words = usage.parse(TEXT, ["tree", "show"])
    assert words.optional("--at") is None
    assert words.texts("<TREES>") == []


def test_help_wins_over_everything_else() -> None:
    with pytest.raises(HelpWanted) as caught:
        usage.parse(TEXT, ["tree", "burn", "-h"])
    assert caught.value.message == TEXT.strip()
    assert caught.value.exit_code is ExitCode.OK


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["tree"], "`calicoctl tree` needs show, plant or fell"),
        (["tree", "burn", "oak"], "`burn` does not fit after `calicoctl tree`"),
        (["tree", "plant"], "`calicoctl tree plant` needs <TREES>"),
        (["tree", "show", "--detailed", "--detailed"], "`--detailed` is there twice"),
        (["tree", "show", "--detialed"], "no option `--detialed` (did you mean `--detailed`?)"),
        (["tree", "show", "--xyzzy=1"], "there is no option `--xyzzy`"),
        (["tree", "plant", "oak", "--at"], "`--at` needs a value"),
        (["tree", "show", "--detailed=yes"], "`--detailed` takes no value"),
    ],
)
def test_what_does_not_fit_is_answered_with_the_reason_and_the_usage(argv, reason) -> None:
    with pytest.raises(UsageError) as caught:
        usage.parse(TEXT, argv)
    assert reason in caught.value.message.splitlines()[0]
    assert "calicoctl tree show [--detailed]" in caught.value.message
    assert "Plant trees" not in caught.value.message
    assert caught.value.hint == "`calicoctl tree --help` says more"


def test_an_option_may_be_abbreviated() -> None:
    assert usage.parse(TEXT, ["tree", "show", "--det"]).flag("--detailed")


@pytest.mark.parametrize("word", ["-1", "-rf", "--at"])
def test_after_two_dashes_a_word_stands_for_itself(word) -> None:
    words = usage.parse(TEXT, ["tree", "plant", "--at=here", "--", word, "-", "oak"])
    assert words.texts("<TREES>") == [word, "-", "oak"]
    assert words.optional("--at") == "here"


@pytest.mark.parametrize("word", ["-1", "-0.5", "-inf", "-rf"])
def test_what_looks_like_an_option_is_none_of_the_names(word) -> None:
    with pytest.raises(UsageError, match=f"there is no option `{word}`") as caught:
        usage.parse(TEXT, ["tree", "plant", word])
    assert caught.value.hint == "a name that begins with `-` comes after `--`"


def test_help_after_two_dashes_is_a_word() -> None:
    assert usage.parse(TEXT, ["tree", "plant", "--", "--help"]).texts("<TREES>") == ["--help"]


def test_a_number_may_be_the_value_of_an_option() -> None:
    words = usage.parse(TEXT, ["tree", "plant", "oak", "--at", "-1"])
    assert words.optional("--at") == "-1"
