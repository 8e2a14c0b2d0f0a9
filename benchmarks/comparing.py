"""Two results side by side: what became slower, beyond the noise."""

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


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What makes two results hard to compare: another machine, other versions, another thoroughness."""
    lines = []
    for fact in ("processor", "processors", "system", "file_system", "python", "openssl_of_cryptography"):
        then, now = old["machine"].get(fact), new["machine"].get(fact)
        if then != now:
            lines.append(f"{fact}: {then} → {now}")
    if old["settings"]["quick"] != new["settings"]["quick"]:
        lines.append(f"quick: {old['settings']['quick']} → {new['settings']['quick']}")
    return lines
