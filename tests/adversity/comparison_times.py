"""Whether comparing a secret takes the same time for a wrong one, wherever it goes wrong.

`python -m tests.adversity.comparison_times [--runs 1000000]`

For each comparison of a secret, two classes of wrong input are drawn at random by turns: wrong in the first
byte, and wrong in the last byte. Welch's t over their times (the slowest and fastest hundredth of all left out)
tells whether the classes differ; |t| below 4.5 is what such tests call no difference (dudect). A comparison that
stops at the first wrong byte runs beside them, to show that the test would see one.
"""

import argparse
import hmac
import random
import statistics
import sys
import time
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from huks_async import BusinessError
from huks_async.access import AuthToken, AuthTokenKeys, open_token, seal_token

LIMIT = 4.5
BATCH = 1000
Compare = Callable[[bytes], object]


def _token() -> tuple[Compare, bytes, slice]:
    keys = AuthTokenKeys.random()
    sealed = seal_token(AuthToken(bytes(32), 0, 30000, 1, 100, 1, 1, 1), keys)

    def compare(given: bytes) -> None:
        try:
            open_token(given, keys)
        except BusinessError:
            return
        raise AssertionError("a wrong MAC was taken")

    return compare, sealed, slice(248, 280)


def _pin() -> tuple[Compare, bytes, slice]:
    # what the PIN is compared by: its scrypt, without the tenth of a second that scrypt itself takes
    kept = random.randbytes(32)
    return lambda given: hmac.compare_digest(given, kept), kept, slice(0, 32)


def _wrapped_key() -> tuple[Compare, bytes, slice]:
    # wrapped keys of the wrapped import and of wrapKeyItem: the tag of AES-256-GCM
    cipher, nonce = AESGCM(random.randbytes(32)), bytes(12)
    sealed = cipher.encrypt(nonce, random.randbytes(32), b"associated")

    def compare(given: bytes) -> None:
        try:
            cipher.decrypt(nonce, given, b"associated")
        except InvalidTag:
            return
        raise AssertionError("a wrong tag was taken")

    return compare, sealed, slice(32, 48)


def _leaky() -> tuple[Compare, bytes, slice]:
    kept = random.randbytes(4096)

    def compare(given: bytes) -> bool:
        return all(mine == theirs for mine, theirs in zip(kept[::128], given[::128], strict=True))

    return compare, kept, slice(0, 4096 - 127)


SECRETS = {"PIN": _pin, "token MAC": _token, "wrapped-key tag": _wrapped_key}


def difference(compare: Compare, right: bytes, part: slice, runs: int) -> float:
    """Welch's t between wrong in the first and wrong in the last byte of a part.

    Inputs are made in batches before the clock is read, each in memory of its own: what their making leaves in
    the processor, and where an input lies, would tell in the times, too.
    """
    wrong = []
    for place in (part.start, part.stop - 1):
        one = bytearray(right)
        one[place] ^= 0xFF
        wrong.append(one)
    times: tuple[list[int], list[int]] = ([], [])
    clock = time.perf_counter_ns
    for _ in range(runs // BATCH):
        classes = random.choices((0, 1), k=BATCH)
        taken = []
        for given in [bytes(wrong[which]) for which in classes]:
            start = clock()
            compare(given)
            taken.append(clock() - start)
        for which, nanoseconds in zip(classes, taken, strict=True):
            times[which].append(nanoseconds)
    both = sorted(times[0] + times[1])
    low, high = both[len(both) // 100], both[-len(both) // 100 - 1]
    first, last = ([one for one in half if low <= one <= high] for half in times)
    spread = statistics.variance(first) / len(first) + statistics.variance(last) / len(last)
    apart = statistics.fmean(first) - statistics.fmean(last)
    return apart / spread**0.5 if spread else 0.0


def main(arguments: list[str] | None = None) -> int:
    """Run the test; 1 where a comparison tells its secret, or the leaky one does not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    runs = parser.parse_args(arguments).runs
    sound = True
    for name, make in SECRETS.items():
        t = difference(*make(), runs)
        sound &= abs(t) < LIMIT
        print(f"{name}: t = {t:+.2f} over {runs} runs", flush=True)
    t = difference(*_leaky(), max(runs // 10, 20_000))
    sound &= abs(t) > LIMIT
    print(f"a comparison that stops early, for contrast: t = {t:+.2f}")
    print("sound" if sound else f"NOT sound: |t| is to be below {LIMIT}, and above it for the contrast")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
