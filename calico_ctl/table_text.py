"""A table as text: a frame of `+---+`, cells to the left, as wide as the widest. Nothing is cut."""

from collections.abc import Iterable, Sequence
from itertools import zip_longest


def write(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return the table; a cell may have several lines. The last edge is left out without rows."""
    every = [headings, *rows]
    plain = all("".join(row).isascii() for row in every)
    lines = [line for row in every for line in _lines(row)]
    top = max(heading.count("\n") for heading in headings) + 1
    width = len if plain else _columns
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    edge = f"+{'+'.join('-' * (each + 2) for each in widths)}+"
    if plain:
        form = "|".join(["", *(f" %-{each}s " for each in widths), ""])
        written = [form % line for line in lines]
    else:
        written = [_padded(line, widths) for line in lines]
    body = [*written[top:], edge] if len(written) > top else []
    return "\n".join([edge, *written[:top], edge, *body])


def _lines(row: Sequence[str]) -> Iterable[tuple[str, ...]]:
    """Return the lines of a row, each with a piece of every cell."""
    if "\n" not in "".join(row):
        return (tuple(row),)
    return zip_longest(*[cell.split("\n") for cell in row], fillvalue="")


def _padded(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        f" {cell}{' ' * (width - _columns(cell))} "
        for cell, width in zip(line, widths, strict=True)
    ]
    return f"|{'|'.join(cells)}|"


def _columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(
        0 if combining(each) else 2 if east_asian_width(each) in "FW" else 1 for each in text
    )
