"""Lock-out: how many wrong guesses are allowed, and how long to wait before the next one.

A guess is counted, durably, *before* it is checked. So an attacker gains nothing by guessing from many tasks or
processes at once, or by killing or restarting the process before it can count.
"""

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from huks_async.access.authenticator import AuthHost
from huks_async.access.vault import change, read_value
from huks_async.model.errors import BusinessError
from huks_async.model.settings import check_seconds, check_whole
from huks_async.model.showing import shown

_STATE = struct.Struct("<BI16sdd")
_FORMAT = 1
_BOOT_BYTES = 16


def boot_id() -> bytes:
    """16 bytes that differ after each start of the machine; zeros if the system has no such id."""
    from pathlib import Path  # late: not every keystore locks out

    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
        return bytes.fromhex(text.strip().replace("-", ""))[:_BOOT_BYTES].ljust(_BOOT_BYTES, b"\0")
    except (OSError, ValueError):
        return bytes(_BOOT_BYTES)


def _since_boot() -> float:
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # counts suspension, too
    return time.clock_gettime(clock)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockoutClock:
    """The clocks of a lock-out. While the machine runs, setting its wall clock neither shortens nor prolongs a wait.

    Args:
        boot: identifies the present start of the machine.
        since_boot: gives seconds since that start.
        wall: gives seconds of the wall clock, which is used after a restart, or on another machine.
    """

    boot: bytes = field(default_factory=boot_id)
    since_boot: Callable[[], float] = _since_boot
    wall: Callable[[], float] = time.time


def choose_lockout(lockout: "Lockout | None", owner: str) -> "Lockout":
    """The lock-out that an authenticator was given, else the usual one; 401 for anything else."""
    if lockout is None:
        return Lockout()
    if not isinstance(lockout, Lockout):
        raise BusinessError(401, f"{owner}: lockout: got {shown(lockout)}, accepted a Lockout, or None")
    return lockout


@dataclass(frozen=True, slots=True, kw_only=True)
class Lockout:
    """How guessing is slowed down.

    Args:
        free: guesses before the first wait.
        first: seconds of the first wait; each further wrong guess doubles it.
        longest: seconds of the longest wait.
        clock: the clocks to measure the wait with.
    """

    free: int = 5
    first: float = 30.0
    longest: float = 86_400.0
    clock: LockoutClock = field(default_factory=LockoutClock)

    def __post_init__(self) -> None:
        check_whole(self.free, "Lockout.free")
        longest = check_seconds(self.longest, "Lockout.longest")
        check_seconds(self.first, "Lockout.first", most=longest)

    async def count(self, host: AuthHost, name: str) -> None:
        """Count one guess, before it is checked.

        Raises:
            BusinessError: 12000008 while guesses are locked out, with the seconds left in the message and as
                `error.data["retry_after"]`. Such a guess is not counted, because it is not checked.
        """
        wait = await change(host.vault, name, self._count)
        if wait > 0:
            seconds = max(1, round(wait + 0.5))
            raise BusinessError(
                12000008,
                f"too many guesses that were wrong, or are still being checked: the next one is possible in {seconds} seconds",
                data={"retry_after": seconds},
            )

    async def clear(self, host: AuthHost, name: str) -> None:
        """Forget all wrong guesses, after a right one."""
        await change(host.vault, name, lambda _: (None, None))

    def _count(self, state: bytes | None) -> tuple[bytes | None, float]:
        clock = self.clock
        boot, since_boot, wall = clock.boot, clock.since_boot(), clock.wall()
        if state is None:
            failures = 0
        else:
            failures, known_boot, known_since, known_wall = read_value(
                state, "what the store keeps of a user's wrong guesses", _read
            )
            same_boot = known_boot == boot and any(boot)
            elapsed = since_boot - known_since if same_boot else wall - known_wall
            if elapsed < 0:
                # The clock was set back, so the wait starts again from now; otherwise it might last almost for ever.
                if self._wait(failures) > 0:
                    restarted = _STATE.pack(_FORMAT, failures, boot, since_boot, wall)
                    return restarted, self._wait(failures)
                elapsed = 0.0
            left = self._wait(failures) - elapsed
            if left > 0:
                return state, left
        failures = min(failures + 1, 2**32 - 1)
        return _STATE.pack(_FORMAT, failures, boot, since_boot, wall), 0.0

    def _wait(self, failures: int) -> float:
        """Seconds to wait after this many wrong guesses before the next one."""
        if failures < self.free:
            return 0.0
        doubled = min(failures - self.free, 60)
        return float(min(self.first * 2**doubled, self.longest))


def _read(state: bytes) -> tuple[int, bytes, float, float]:
    written, failures, boot, since_boot, wall = _STATE.unpack(state)
    if written != _FORMAT:
        raise ValueError(written)
    return failures, boot, since_boot, wall
