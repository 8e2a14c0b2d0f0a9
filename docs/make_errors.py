"""Print docs/errors.md from the table in huks_async/model/errors.py."""

from huks_async.model.errors import ERRORS, BusinessError

HEAD = """\
# Errors

A call that fails raises `BusinessError`, always from the await. `error.code` is the number HUKS documents,
`error.message` names the tag, the value got and the values accepted, `error.reason` is the finer `HuksErrorCode`.
The class is one of the branches below, so that `except ItemNotFoundError` is enough where a caller treats it apart.
Messages never hold key bytes or plaintext.

This page is made from the table in the code: `python docs/make_errors.py > docs/errors.md`.

| Code | Name | Class | Cause | Way out |
|---|---|---|---|---|
"""

BRANCHES = """
## Classes

| Class | Says | Codes |
|---|---|---|
"""

WARNINGS = """
## Warnings

| Class | Says |
|---|---|
| `HuksCompatibilityWarning` | input that HUKS accepts although a standard does not: a short IV, a short salt |
| `HuksLegacyWarning` | an algorithm that works as documented but is weak today |

`warnings.simplefilter("error", HuksCompatibilityWarning)` turns one into an error.
"""


def render() -> str:
    """The page."""
    rows = (
        f"| {f.code} | `{f.name}` | `{f.branch.__name__}` | {f.cause} | {f.way_out} |"
        for f in ERRORS.values()
    )
    branches: dict[type[BusinessError], list[int]] = {}
    for fact in ERRORS.values():
        branches.setdefault(fact.branch, []).append(fact.code)
    classes = (
        f"| `{branch.__name__}` | {(branch.__doc__ or '').strip()} | {', '.join(map(str, codes))} |"
        for branch, codes in branches.items()
    )
    return HEAD + "\n".join(rows) + "\n" + BRANCHES + "\n".join(classes) + "\n" + WARNINGS


if __name__ == "__main__":
    print(render(), end="")
