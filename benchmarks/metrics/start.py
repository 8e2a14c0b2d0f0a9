"""Start-up: what importing the library adds."""

import os
import statistics
import subprocess
import sys
import tempfile

from benchmarks.measuring import Settings
from benchmarks.metric import Outcome, metric

_NEEDED = (
    "import sys, huks_async; "
    "print(*sorted(m for m in sys.modules if m.startswith('cryptography.') and '__' not in m))"
)


def _python(code: str, bytecode: str) -> str:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        # compiled once, as an installed package is, whatever the state of the source tree
        "PYTHONPYCACHEPREFIX": bytecode,
        "PYTHONDONTWRITEBYTECODE": "",
    }
    process = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    return process.stdout


def _milliseconds(statement: str, bytecode: str) -> float:
    code = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    return float(_python(code, bytecode)) * 1e3


@metric(
    17, "import", "import huks_async beyond the cryptography modules it needs", target=40, floor=80, unit="ms"
)
async def importing(settings: Settings) -> Outcome:
    """`import huks_async` less the import of those modules of `cryptography` that it loads.

    Each in processes of its own, taking turns; anyio and what it loads count as ours.
    """
    with tempfile.TemporaryDirectory(dir=settings.folder) as bytecode:
        # the Rust bindings are one module with names inside that cannot be imported as modules
        needed = [name for name in _python(_NEEDED, bytecode).split() if "bindings._rust." not in name]
        statements = {
            "import huks_async": "import huks_async",
            "import cryptography.…": f"import {', '.join(needed)}",
            "import asyncio": "import asyncio",
            "import anyio": "import anyio",
        }
        milliseconds: dict[str, list[float]] = {name: [] for name in statements}
        for turn in range(settings.rounds + 1):
            for name, statement in statements.items():
                took = _milliseconds(statement, bytecode)
                if turn:  # the first one compiles
                    milliseconds[name].append(took)
    both = zip(milliseconds["import huks_async"], milliseconds["import cryptography.…"], strict=True)
    return Outcome(
        values=[mine - other for mine, other in both],
        parts={name: statistics.median(took) for name, took in milliseconds.items()},
        unit="ms",
    )
