"""Two results side by side: what became slower, beyond the noise."""

from collections.abc import Iterable, Iterator
from typing import Any

_AT_LEAST = 0.05
"""A smaller change is never called one."""


def slower(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """A line for each metric that became worse by more than 5 % and more than both results scatter.

    A change is beyond the noise when the middle halves of the two sets of rounds do not touch.
    """
    before = {metric["name"]: metric for metric in old["metrics"]}
    lines = []
    for now in new["metrics"]:
        then = before.get(now["name"])
        if then is None or "value" not in then or "value" not in now:
            continue
        if now["better"] == "higher":
            worse = now["value"] < then["value"] * (1 - _AT_LEAST) and now["high"] < then["low"]
        else:
            worse = now["value"] > then["value"] * (1 + _AT_LEAST) and now["low"] > then["high"]
        if worse:
            lines.append(
                f"{now['name']}: {then['value']:.3g} [{then['low']:.3g} … {then['high']:.3g}] → "
                f"{now['value']:.3g} [{now['low']:.3g} … {now['high']:.3g}] ({now['better']} is better)"
            )
    return lines


def unpaired(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """A line for each result that measured what the other did not: these metrics are not compared."""
    then, now = measured(old), measured(new)
    sides = {"the old result": sorted(then - now), "the new result": sorted(now - then)}
    return [f"{', '.join(names)}: only {side} has it" for side, names in sides.items() if names]


def measured(result: dict[str, Any]) -> set[str]:
    """The names of the metrics that have a value."""
    return {metric["name"] for metric in result["metrics"] if "value" in metric}


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What makes two results hard to compare: another machine, other versions, another thoroughness."""
    facts = ("processor", "processors", "system", "file_system", "python", "gil", "openssl_of_cryptography")
    lines = list(_changes(old["machine"], new["machine"], (*facts, "sqlite")))
    then, now = old["machine"].get("packages", {}), new["machine"].get("packages", {})
    lines += _changes(then, now, dict.fromkeys([*then, *now]))
    then, now = old["settings"], new["settings"]
    return [*lines, *_changes(then, now, dict.fromkeys([*then, *now]))]


def _changes(old: dict[str, Any], new: dict[str, Any], facts: Iterable[str]) -> Iterator[str]:
    for fact in facts:
        then, now = old.get(fact), new.get(fact)
        if then != now:
            yield f"{fact}: {then} → {now}"
