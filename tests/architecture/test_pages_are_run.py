"""Each page that tells people what to type is followed by a test, to its last block."""

import re
from pathlib import Path

import pytest

from tests.support import document
from tests.support.paths import CHECKOUT

DOCS = CHECKOUT / "docs"
PAGES = sorted([*(DOCS / "tutorials").glob("*.md"), *(DOCS / "how-to").glob("*.md")])
FOLLOWERS = [
    *(CHECKOUT / "tests/system").glob("test_*.py"),
    CHECKOUT / "tests/integration/commands/test_how_to.py",
]


def named(page: Path) -> bool:
    return any(f'{page.name}"' in follower.read_text() for follower in FOLLOWERS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_followed_by_a_test_to_its_last_block(page: Path) -> None:
    text = page.read_text()
    assert named(page), "no test that types what a page says names it"
    assert re.findall(r"^[ \t]+```.*", text, re.MULTILINE) == [], "such blocks nobody would see"
    assert list(document.blocks(text)) != []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_block_that_is_not_run_has_a_reason_and_names_a_test_that_is_there(page: Path) -> None:
    for reason in re.findall(rf"^{document.NOT_RUN}(.*)", page.read_text(), re.MULTILINE):
        assert re.fullmatch(r".{10,} -->", reason)
        for test in re.findall(r"tests/[\w./]+\.py", reason):
            assert (CHECKOUT / test).exists(), test
