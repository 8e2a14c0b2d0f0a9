"""The command `huks`. Needs the extra `cli`; nothing of it is imported before the command runs."""

import sys
from collections.abc import Sequence

_NEEDED = frozenset({"cyclopts", "rich"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and give its exit code: 0 done, 1 the operation failed, 2 wrong usage.

    Args:
        arguments: the words after the command's name; None: those of this process.

    """
    try:
        from huks_async.cli.app import run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _NEEDED:
            raise
        print(f"error: the command huks needs {error.name}, which is not installed", file=sys.stderr)
        print("hint: install the extra cli: pip install 'huks-async[cli]'", file=sys.stderr)
        return 1
    return run(sys.argv[1:] if arguments is None else arguments)
