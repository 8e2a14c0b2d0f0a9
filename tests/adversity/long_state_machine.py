"""The state machine for a long time: random steps on keystore and model, compared at each step.

    python -m tests.adversity.long_state_machine [steps] [seed] [seconds at most]
"""

import asyncio
import random
import sys
import time

from tests.adversity.machine import Machine


async def walk(steps: int, seed: int, seconds: float) -> None:
    machine, rng = Machine(), random.Random(seed)
    await machine.start()
    began = told = time.monotonic()
    for step in range(1, steps + 1):
        try:
            await machine.random_step(rng)
            if step % 20 == 0:
                machine.check()
        except BaseException:
            print(f"failed at step {step} of seed {seed}", flush=True)
            raise
        if step % 1000 == 0:
            now = time.monotonic()
            if now - told > 30 or now - began > seconds:
                told = now
                print(f"{step} steps in {now - began:.0f} s, {len(machine.sessions)} sessions open", flush=True)
            if now - began > seconds:
                break
    await machine.stop()
    print(f"{machine.steps} steps, seed {seed}: keystore and model agree")


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else float("inf")
    asyncio.run(walk(steps, seed, seconds))


if __name__ == "__main__":
    main()
