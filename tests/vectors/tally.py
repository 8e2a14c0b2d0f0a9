"""Counting: how many published cases ran, which way, and which did not and why."""

from collections import Counter

TALLIES: list["Tally"] = []
"""One for each algorithm and source, in the order of the run."""

_SHOWN = 5


class Tally:
    """The cases of one algorithm from one source.

    A case is `checked` (through a session of the public interface, or through the crypto room alone),
    `refused` (it ran, and the documented error came, for a documented limit that has a name), or
    `skipped` (nothing could run, for a reason that has a name).
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.sessions = 0
        self.engine = 0
        self.passed = 0
        self.refused: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.failures: list[str] = []
        TALLIES.append(self)

    def check(self, good: bool, case: object, *, engine: bool = False) -> None:
        """Count a case that ran; failures are kept, so that one run shows all of them."""
        if engine:
            self.engine += 1
        else:
            self.sessions += 1
        if good:
            self.passed += 1
        else:
            self.failures.append(str(case)[:300])

    def refuse(self, reason: str, code: int | None, *accepted: int, case: object = "") -> None:
        """Count a case beyond a documented limit; it must have been refused with one of the codes."""
        self.refused[reason] += 1
        if code not in accepted:
            self.failures.append(f"{reason}: expected {accepted}, got {code} {str(case)[:300]}")

    def skip(self, reason: str, count: int = 1) -> None:
        """Count cases that nothing here can run."""
        self.skipped[reason] += count

    def settle(self, *, sessions: int = 0, engine: int = 0) -> None:
        """Fail on any failed case, and where fewer cases ran than the files are known to have."""
        assert not self.failures, (
            f"{self.name}: {len(self.failures)} of {self.sessions + self.engine} cases failed, e.g.\n"
            + "\n".join(self.failures[:_SHOWN])
        )
        assert self.passed == self.sessions + self.engine
        assert self.sessions >= sessions, f"{self.name}: only {self.sessions} cases through sessions"
        assert self.engine >= engine, f"{self.name}: only {self.engine} cases through the engine"


def table() -> list[str]:
    """The lines of the summary: a row for each tally, then reasons."""
    width = max(len(tally.name) for tally in TALLIES)
    lines = [f"{'cases':<{width}} {'sessions':>9} {'engine':>7} {'passed':>7} {'refused':>8} {'skipped':>8}"]
    lines += [
        f"{tally.name:<{width}} {tally.sessions:>9} {tally.engine:>7} {tally.passed:>7} "
        f"{tally.refused.total():>8} {tally.skipped.total():>8}"
        for tally in TALLIES
    ]
    sums = [
        sum(column)
        for column in zip(
            *((t.sessions, t.engine, t.passed, t.refused.total(), t.skipped.total()) for t in TALLIES),
            strict=True,
        )
    ]
    lines.append(f"{'total':<{width}} {sums[0]:>9} {sums[1]:>7} {sums[2]:>7} {sums[3]:>8} {sums[4]:>8}")
    for verb in ("refused", "skipped"):
        for tally in TALLIES:
            reasons: Counter[str] = getattr(tally, verb)
            lines += [
                f"{verb}: {tally.name}: {count} × {reason}" for reason, count in sorted(reasons.items())
            ]
    return lines
