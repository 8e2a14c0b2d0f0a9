"""Bar charts as plain SVG that can be read on light and on dark pages."""

from collections.abc import Iterator
from html import escape
from typing import Any

from benchmarks.tables import number

_WIDTH = 860
_LABEL = 430
_ROW = 26
_BAR = 16
_RIGHT = 90

_STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 15px; font-weight: 600; }
.small { font-size: 11px; fill: #59636e; }
.ours { fill: #1a7f37; } .other { fill: #8c959f; } .bad { fill: #cf222e; } .fair { fill: #bf8700; }
.line { stroke: #1f2328; stroke-width: 1.5; } .mark { stroke: #0969da; stroke-width: 2.5; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; } .small { fill: #9198a1; }
.ours { fill: #3fb950; } .other { fill: #6e7681; } .bad { fill: #f85149; } .fair { fill: #d29922; }
.line { stroke: #e6edf3; } .mark { stroke: #58a6ff; }
}
</style>"""


def pictures(result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and content of each picture that a result has enough for."""
    measured = [metric for metric in result["metrics"] if "value" in metric]
    if measured:
        yield "metrics.svg", metrics_chart(measured)
    for operation, times in (result.get("peers") or {}).get("operations", {}).items():
        name = operation.lower().replace(" ", "-")
        yield f"peers-{name}.svg", bars_chart(f"{operation}: µs, less is better", times, "huks_async")
    for metric in measured:
        if metric["parts_unit"] == "MB/s":
            title = f"{metric['title'].partition(', ')[0]}: MB/s, more is better"
            yield f"{metric['name']}.svg", bars_chart(title, metric["parts"], "huks_async", "8 streams")


def bars_chart(title: str, bars: dict[str, float], *ours: str, in_order: bool = False) -> str:
    """Horizontal bars from zero, those that begin with one of `ours` in colour, shortest first or as they are given."""
    label = max(220, 7 * max(map(len, bars)) + 20)
    room = _WIDTH - label - _RIGHT
    longest = max(bars.values())
    rows = []
    for place, (name, value) in enumerate(
        bars.items() if in_order else sorted(bars.items(), key=lambda bar: bar[1])
    ):
        top = 40 + place * _ROW
        kind = "ours" if name.startswith(ours) else "other"
        width = max(1.0, value / longest * room)
        rows.append(
            f'<text x="{label - 8}" y="{top + 13}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="{kind}" x="{label}" y="{top}" width="{width:.1f}" height="{_BAR}" rx="2"/>'
            f'<text x="{label + width + 6:.1f}" y="{top + 13}">{number(value)}</text>'
        )
    return _page(title, 40 + len(bars) * _ROW + 10, rows)


def metrics_chart(metrics: list[dict[str, Any]]) -> str:
    """All metrics on one scale: how near each is to its floor, which is the line; shorter is better."""
    room = _WIDTH - _LABEL - _RIGHT
    most = 1.6  # floors; longer bars are cut
    kinds = {"target": "ours", "floor": "fair", "missed": "bad"}
    line = _LABEL + room / most
    bottom = 58 + len(metrics) * _ROW
    rows = [
        f'<text class="small" x="{line:.1f}" y="50" text-anchor="middle">floor</text>',
        f'<line class="line" x1="{line:.1f}" x2="{line:.1f}" y1="54" y2="{bottom}"/>',
    ]
    for place, metric in enumerate(metrics):
        top = 60 + place * _ROW
        share = _share(metric, metric["value"])
        width = max(1.0, min(share, most) / most * room)
        target = _LABEL + _share(metric, metric["target"]) / most * room
        # in a column of their own: after the bars they would run into the line of the floor and the marks
        value = f"{number(metric['value'])}{' ' + metric['unit'] if metric['unit'] else ''}"
        rows.append(
            f'<text x="{_LABEL - 8}" y="{top + 13}" text-anchor="end">{escape(metric["title"])}</text>'
            f'<rect class="{kinds[metric["verdict"]]}" x="{_LABEL}" y="{top}" width="{width:.1f}" '
            f'height="{_BAR}" rx="2"/>'
            f'<line class="mark" x1="{target:.1f}" x2="{target:.1f}" y1="{top - 2}" y2="{top + _BAR + 2}"/>'
            f'<text x="{_WIDTH - 12}" y="{top + 13}" text-anchor="end">{value}</text>'
        )
    note = '<text class="small" x="12" y="40">blue: target; shorter is better</text>'
    return _page("Each metric against its floor", bottom + 12, [note, *rows])


def _share(metric: dict[str, Any], value: float) -> float:
    """How much of the way to the floor a value takes: 1 is the floor, less is better."""
    floor: float = metric["floor"]
    return floor / value if metric["better"] == "higher" else value / floor


def _page(title: str, height: int, rows: list[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">'
    )
    return "\n".join(
        [head, _STYLE, f'<text class="title" x="12" y="22">{escape(title)}</text>', *rows, "</svg>", ""]
    )
