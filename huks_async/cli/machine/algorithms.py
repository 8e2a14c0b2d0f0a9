"""`huks algorithms`: what keys can be and do."""

from huks_async.cli.shell.console import show
from huks_async.crypto.rules import support_table


def algorithms(*, device: bool = False) -> None:
    """Print the support matrix, a line for each group of purposes of each algorithm.

    Parameters
    ----------
    device: bool
        Only what a device with the standard software engine has too.

    """
    show("  ".join(support_table.COLUMNS).lower())
    name = sizes = ""
    for row in support_table.rows(device=device):
        if row[0]:
            name, sizes = row[0], row[1]
        show("  ".join((name, row[1] or sizes, *(cell for cell in row[2:] if cell))))
