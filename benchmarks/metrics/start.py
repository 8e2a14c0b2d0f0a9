"""Start-up: what importing the library adds."""

import os
import statistics
import subprocess
import sys

from benchmarks.measuring import Settings
from benchmarks.metric import Outcome, metric

_NEEDED = (
    "import sys, huks_async; "
    "print(*sorted(m for m in sys.modules if m.startswith('cryptography.') and '__' not in m))"
)


def _python(code: str) -> str:
    process = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    return process.stdout


def _milliseconds(statement: str) -> float:
    code = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    return float(_python(code)) * 1e3


@metric(
    17, "import", "import huks_async beyond the cryptography modules it needs", target=40, floor=80, unit="ms"
)
async def importing(settings: Settings) -> Outcome:
    """`import huks_async` less the import of those modules of `cryptography` that it loads.

    Each in processes of its own, taking turns; anyio and what it loads count as ours.
    """
    # rust bindings are one module with many names inside: only what has a file can be imported by name
    needed = [name for name in _python(_NEEDED).split() if not name.startswith("cryptography.hazmat.bindings._rust.")]
    base = f"import {', '.join(needed)}"
    ours, theirs, anyios = [], [], []
    for _ in range(settings.rounds):
        ours.append(_milliseconds("import huks_async"))
        theirs.append(_milliseconds(base))
        anyios.append(_milliseconds("import anyio"))
    return Outcome(
        values=[mine - other for mine, other in zip(ours, theirs, strict=True)],
        parts={
            "import huks_async": statistics.median(ours),
            "import cryptography.…": statistics.median(theirs),
            "import anyio alone": statistics.median(anyios),
        },
        unit="ms",
    )
