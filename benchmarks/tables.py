"""Results as Markdown."""

from typing import Any

_MARKS = {"target": "✓", "floor": "(✓)", "missed": "✗"}


def markdown(result: dict[str, Any]) -> str:
    """The whole result as a page section."""
    parts = [_metrics(result["metrics"])]
    if result.get("peers"):
        parts.append(_peers(result["peers"]))
    if result.get("openssl_speed"):
        parts.append(_speed(result["openssl_speed"]))
    parts.append(_machine(result))
    return "\n\n".join(parts) + "\n"


def number(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _metrics(metrics: list[dict[str, Any]]) -> str:
    lines = [
        "| # | Metric | Measured | Middle half | Target | Floor | | Made of |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for metric in metrics:
        sign = "≥" if metric["better"] == "higher" else "≤"
        unit = f" {metric['unit']}" if metric["unit"] else ""
        bounds = f"{sign} {number(metric['target'])}{unit} | {sign} {number(metric['floor'])}{unit}"
        head = f"| {metric['number']} | {metric['title']} (`{metric['name']}`)"
        if "missing" in metric:
            lines.append(f"{head} | – | – | {bounds} | not measured | {metric['missing']} |")
            continue
        parts = ", ".join(f"{name} {number(part)}" for name, part in metric["parts"].items())
        lines.append(
            f"{head} | **{number(metric['value'])}{unit}** "
            f"| {number(metric['low'])} … {number(metric['high'])} | {bounds} "
            f"| {_MARKS[metric['verdict']]} | {parts} {metric['parts_unit']} |"
        )
    return "\n".join([*lines, "", "✓ target reached, (✓) better than the floor, ✗ worse than the floor."])


def _peers(peers: dict[str, Any]) -> str:
    operations = peers["operations"]
    names = list(dict.fromkeys(name for times in operations.values() for name in times))
    lines = [
        f"| {peers['unit']} | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
    ]
    for operation, times in operations.items():
        cells = (number(times[name]) if name in times else "–" for name in names)
        lines.append(f"| {operation} | {' | '.join(cells)} |")
    lines += ["", *(f"Missing: {name}: {why}." for name, why in peers["missing"].items())]
    return "\n".join(lines).rstrip()


def _speed(speed: dict[str, float]) -> str:
    figures = "; ".join(f"{name} {number(value)}" for name, value in speed.items())
    return f"`openssl speed` of this system, one process, for information: {figures}."


def _machine(result: dict[str, Any]) -> str:
    machine = result["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items() if version)
    settings = result["settings"]
    # results from before it was measured have none
    disk = f", fdatasync {number(machine['fdatasync_us'])} µs" if "fdatasync_us" in machine else ""
    loads = ", ".join(map(str, machine["load_average"]))
    return (
        f"{machine['when']}: {machine['processor']}, {machine['processors']} processors, "
        f"{machine['memory_gib']} GiB, {machine['system']}, {machine['file_system']}{disk}; load {loads} at the start; "
        f"{machine['python']}, {machine['openssl_of_cryptography']}, SQLite {machine['sqlite']}; {packages}; "
        f"{_rounds(result)}{', quick' if settings['quick'] else ''}, {settings['event_loop']}."
    )


def _rounds(result: dict[str, Any]) -> str:
    """How many there were, and which metrics had others."""
    usual = result["settings"]["rounds"]
    others: dict[int, list[str]] = {}
    for metric in result["metrics"]:
        if "values" in metric and len(metric["values"]) != usual:
            others.setdefault(len(metric["values"]), []).append(f"`{metric['name']}`")
    named = "; ".join(f"{count} of {', '.join(names)}" for count, names in others.items())
    return f"{usual} rounds" + (f" ({named})" if named else "")
