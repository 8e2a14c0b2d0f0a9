"""Bring the table in docs/algorithms.md up to date with the support matrix.

`python docs/make_algorithms.py` rewrites the page; what stands outside the two marks is written by hand.
"""

from pathlib import Path

from huks_async.crypto.rules.support_table import COLUMNS, rows

PAGE = Path(__file__).parent / "algorithms.md"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"

HEAD = "| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|\n"


def render(page: str) -> str:
    """The page with the table that the matrix gives."""
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    return before + BEGIN + HEAD + "".join(_line(row) for row in rows(joint="<br>")) + END + after


def _line(row: tuple[str, ...]) -> str:
    name = f"**{row[0]}**" if row[0] else ""
    return "| " + " | ".join((name, *row[1:])) + " |\n"


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text()))
