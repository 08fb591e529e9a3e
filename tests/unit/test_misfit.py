import pytest

from calico_ctl import grammar, misfit

SHORT = """Usage:
  calicoctl tree show [--detailed | --counters]
  calicoctl tree add <TREE> <PLACE> [--deep=<N>]
  calicoctl tree <TREE> leaf (add|remove) [--all]
  calicoctl tree measure <TREE> --by=<WHOM>
  calicoctl tree name <TREE> (<NAME>|--none)

Options:
  --detailed   Every leaf.
  --counters   How many.
  --deep=<N>   How deep.
  --all        All.
  --by=<WHOM>  Who does it.
  --none       No name.
"""
LONG = SHORT.replace("\n\nOptions", "\n" + "  calicoctl tree mow\n" * 6 + "\nOptions")


def found(*words: str, text: str = SHORT) -> misfit.Misfit:
    return misfit.explain(grammar.read(text), words)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("tree", "`calicoctl tree` needs show, add, <TREE>, measure or name"),
        ("tree name oak", "`calicoctl tree name oak` needs <NAME> or --none"),
        ("tree name oak x --none", "`--none` and <NAME> exclude each other"),
        ("tree add", "`calicoctl tree add` needs <TREE> or leaf"),
        ("tree add oak", "`calicoctl tree add oak` needs <PLACE>"),
        (
            "tree sho",
            "`calicoctl tree sho` needs leaf (did you mean `calicoctl tree show`?)",
        ),
        (
            "tree ad oak here",
            "`oak` does not fit after `calicoctl tree ad`: expected leaf"
            " (did you mean `calicoctl tree add oak here`?)",
        ),
        (
            "tree oak laef add",
            "`laef` does not fit after `calicoctl tree oak`: expected leaf"
            " (did you mean `calicoctl tree oak leaf add`?)",
        ),
        (
            "tree oak leaf xyzzy",
            "`xyzzy` does not fit after `calicoctl tree oak leaf`: expected add or remove",
        ),
        ("tree show oak", "`oak` does not fit after `calicoctl tree show`: expected leaf"),
        (
            "tree oak leaf add more",
            "`more` is one word too many after `calicoctl tree oak leaf add`",
        ),
        ("tree show --all", "`--all` does not go with `calicoctl tree show`"),
        ("tree show --detailed --counters", "`--detailed` and `--counters` exclude each other"),
        ("tree show --detailed --detailed", "`--detailed` is there twice"),
        ("tree measure oak", "`calicoctl tree measure oak` needs --by=<WHOM>"),
        ("tree show --detialed", "there is no option `--detialed` (did you mean `--detailed`?)"),
        ("tree show --quite", "there is no option `--quite` (did you mean `--quiet`?)"),
        ("tree show --xyzzy=1", "there is no option `--xyzzy`"),
        ("tree show --de", "`--de` may mean `--detailed` or `--deep`"),
        ("tree add oak here --deep", "`--deep` needs a value: `--deep=<N>`"),
        ("tree show --detailed=yes", "`--detailed` takes no value"),
        ("tree add -1", "there is no option `-1`"),
        ("tree add -rf here", "there is no option `-rf`"),
    ],
)
def test_the_reason_names_the_word_and_what_was_expected(line, reason) -> None:
    assert found(*line.split()).reason == reason


@pytest.mark.parametrize("word", ["-1", "-0.5", "-rf"])
def test_how_to_give_a_name_that_looks_like_an_option_is_said(word) -> None:
    assert found("tree", "add", word).hint == "a name that begins with `-` comes after `--`"
    assert found("tree", "show", "--xyzzy").hint == ""


@pytest.mark.parametrize(
    ("word", "reason", "hint"),
    [
        ("--libnetwork", "`--libnetwork` is not available yet", "Docker API"),
        ("--libnetwork-image=x", "`--libnetwork-image` is not available yet", "Docker API"),
        ("--kubernetes", "`--kubernetes` is no more", "plain Docker hosts"),
        ("--rkt", "`--rkt` is no more", "plain Docker hosts"),
    ],
)
def test_what_became_of_an_option_of_old_is_said(word, reason, hint) -> None:
    misfit_found = found("tree", "show", word)
    assert misfit_found.reason == reason
    assert hint in misfit_found.hint


def test_a_short_usage_section_is_shown_whole() -> None:
    assert found("tree", "show", "--all").usage.splitlines() == SHORT.splitlines()[:6]


@pytest.mark.parametrize(
    ("line", "forms"),
    [
        ("tree oak leaf xyzzy", ["<TREE> leaf"]),
        ("tree ad oak here", ["tree add"]),
        ("tree show --all", ["tree show"]),
        ("tree add oak here --deep", ["tree add"]),
    ],
)
def test_of_a_long_usage_section_only_the_nearest_forms_are_shown(line, forms) -> None:
    title, *shown = found(*line.split(), text=LONG).usage.splitlines()
    assert title == "Usage:"
    assert len(shown) == len(forms)
    assert all(form in each for form, each in zip(forms, shown, strict=True))
