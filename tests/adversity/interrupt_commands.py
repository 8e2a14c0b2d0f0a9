"""Each command of `huks` interrupted at random moments, its imports among them.

    python -m tests.adversity.interrupt_commands [--times 50] [--only WORD] [--seed N]

A moment that comes after the command's end is not counted. Status 1 if any interruption ended with another
status than 130, showed a traceback, or left a file that is not whole.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.cli.interruptions import CASES, MODULE, SCRIPT, Bench, Tally


def main() -> int:
    """Run the cases; the status for the shell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    asked = parser.parse_args()
    moments = random.Random(asked.seed)
    print(f"seed {asked.seed}")
    faults = 0
    with tempfile.TemporaryDirectory(prefix="huks-interrupts-") as name:
        bench = Bench(Path(name))
        for case in CASES:
            if asked.only not in case.name:
                continue
            seconds, tally = bench.run(case.words), Tally()
            for output in case.outputs:
                (bench.work / output).unlink()
            if case.words[1:2] == ("delete",):
                bench.run(("keys", "generate", "gone", "--replace"))
            while tally.interrupted < asked.times and len(tally.faults) < asked.times:
                # every fourth by the module, whose first imports are the package's
                start = MODULE if tally.interrupted % 4 == 3 else SCRIPT
                late = tally.finished
                bench.interrupt(case, start, moments.uniform(0, seconds), tally)
                # the machine is now busier, now less: the moments are to fall into the command's time
                seconds *= 0.8 if tally.finished > late else 1.1
            print(
                f"{case.name}: {tally.interrupted} interrupted, {tally.finished} came too late, "
                f"{len(tally.faults)} faults",
                flush=True,
            )
            for fault in tally.faults:
                print(f"  {fault}")
            faults += len(tally.faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
