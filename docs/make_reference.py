"""Print docs/reference.md: every name of `huks_async` itself, with its signature and the promise of its docstring."""

import contextlib
import enum
import inspect
import io
from collections.abc import Iterator
from typing import Any

import huks_async as huks

HEAD = """\
# Reference

Every name of `huks_async` itself. The first sentence of each docstring stands here; `help(huks_async.NAME)` has the rest: arguments with their units, results, errors and, for calls that change something, what one that is cancelled may have done.
Functions of `Keystore` that HUKS documents are there at module level, too, on the current keystore: `await huks_async.generateKeyItem(…)`.
Public names of other modules have docstrings of the same form: authenticators in `huks_async.access`, stores in `huks_async.stores`, root keys in `huks_async.rootkeys`, external providers in `huks_async.providers` and `huks_async.huksExternalCrypto`, sensors in `huks_async.sessions.pressure`, forms of keys in `huks_async.keys.forms`, what helps tests in `huks_async.testing`.

This page is made from the code: `python docs/make_reference.py > docs/reference.md`.
"""


def first_sentence(value: Any) -> str:
    """The first paragraph of a docstring, in one line."""
    text = inspect.getdoc(value) or ""
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")


def arguments(function: Any) -> str:
    """Names of the arguments, with their defaults."""
    parts = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name in ("self", "cls"):
            continue
        if (
            parameter.kind is parameter.KEYWORD_ONLY
            and "*" not in parts
            and not any(p.startswith("*") for p in parts)
        ):
            parts.append("*")
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = (
            ""
            if parameter.default is parameter.empty or callable(parameter.default)
            else f"={parameter.default!r}"
        )
        parts.append(f"{stars}{name}{default}")
    return ", ".join(parts)


def methods(kind: type) -> Iterator[tuple[str, str]]:
    """Public methods and properties of a class, with their promises."""
    for name in sorted(dir(kind), key=str.lower):
        if name.startswith("_"):
            continue
        member = inspect.getattr_static(kind, name)
        if isinstance(member, property):
            yield f"`{name}`", first_sentence(member)
        elif isinstance(member, (staticmethod, classmethod)) or inspect.isfunction(member):
            function = getattr(kind, name)
            await_ = "await " if inspect.iscoroutinefunction(function) else ""
            yield f"`{await_}{name}({arguments(function)})`".replace("|", "\\|"), first_sentence(function)


def table(rows: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> None:
    """One row a name."""
    print("| Name | |\n|---|---|")
    for name, promise in rows:
        print(f"| {name} | {promise} |")


def render() -> str:
    """The page."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        _print_page()
    return out.getvalue()


def _print_page() -> None:
    print(HEAD)
    names = sorted(huks.__all__, key=str.lower)
    values = {name: getattr(huks, name) for name in names}
    classes = {name: value for name, value in values.items() if inspect.isclass(value)}
    enums = {name for name, value in classes.items() if issubclass(value, enum.Enum)}
    errors = {name for name, value in classes.items() if issubclass(value, (Exception, Warning))}
    functions = [name for name, value in values.items() if inspect.isroutine(value)]
    on_keystore = set(dir(huks.Keystore))

    print("## Keystore\n")
    table(methods(huks.Keystore))
    print("\n## Other functions\n")
    table(
        [
            (
                f"`{'await ' if inspect.iscoroutinefunction(values[name]) else ''}{name}({arguments(values[name])})`",
                first_sentence(values[name]),
            )
            for name in functions
            if name not in on_keystore
        ]
    )
    print("\n## Objects\n")
    table([(f"`{name}`", first_sentence(values[name])) for name in classes if name not in enums | errors])
    for name, value in classes.items():
        if name in enums | errors | {"Keystore"}:
            continue
        rows = list(methods(value))
        if rows:
            print(f"\n### {name}\n")
            table(rows)
    print("\n## Errors and warnings\n")
    table([(f"`{name}`", first_sentence(values[name])) for name in sorted(errors, key=str.lower)])
    print("\n## Enums\n")
    table(
        [
            (f"`{name}`", f"{first_sentence(values[name])} {len(classes[name].__members__)} members.")
            for name in sorted(enums)
        ]
    )
    rest = [name for name in names if name not in classes and name not in functions]
    print("\n## Values\n")
    table([(f"`{name}`", f"{type(values[name]).__name__}") for name in rest])


if __name__ == "__main__":
    print(render(), end="")
