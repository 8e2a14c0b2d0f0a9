"""What a call costs, as measured: the one table that decides between the event loop and a worker thread.

A hop to a worker and back costs about 100 µs of latency and some of the event loop's own time, so work
below `INLINE_MICROSECONDS` is done at once, on the loop. Figures are microseconds on a server core of
2025; being right within a factor of two is enough.
"""

import sys
from typing import NamedTuple

INLINE_MICROSECONDS = 200.0
"""Two hops: below this, moving the work costs more than it saves."""

COPY_PER_BYTE = 0.0003
"""Copying, page faults included."""

SLICE_MICROSECONDS = 2000.0
_SMALLEST_SLICE = 16 * 1024
_LARGEST_SLICE = 1024 * 1024


class Cost(NamedTuple):
    """Cost of an operation's calls.

    Args:
        update: fixed part of an update, in µs (multiplied by the operation's `work`).
        finish: fixed part of a finish, in µs (likewise).
        per_byte: µs for each byte worked on.
    """

    update: float
    finish: float
    per_byte: float

    @property
    def slice_bytes(self) -> int | None:
        """How many bytes a worker handles at once, so that it releases the interpreter after some 2 ms.

        None for operations whose data cannot be cut; these have no cost per byte.
        """
        if not self.per_byte or self is UNKNOWN:
            return None
        return min(max(int(SLICE_MICROSECONDS / self.per_byte), _SMALLEST_SLICE), _LARGEST_SLICE)


_HASH = 0.00065  # SHA-256: 64 µs for 100 KB
_SM3 = 0.0033
_SM2_MASK = 0.0186  # plaintext is hashed twice: once for the mask, once for the check
_SHAKE = 0.0023  # SHAKE256, 2.4 ms per MiB

COSTS: dict[str, Cost] = {
    "aes-gcm": Cost(5, 5, 0.00009),
    "aes-ccm": Cost(1, 6, 0.0010),
    "aes-cbc-encrypt": Cost(5, 5, 0.0009),
    "aes-cbc-decrypt": Cost(5, 5, 0.0003),
    "aes-ctr": Cost(5, 5, 0.00016),
    "aes-ecb": Cost(5, 5, 0.00016),
    "sm4": Cost(5, 5, 0.0085),
    "sm4-gcm": Cost(5, 10, 0.02),
    "des": Cost(5, 5, 0.035),
    "hmac-sha1": Cost(1, 1, 0.0007),
    "hmac-sha224": Cost(1, 1, _HASH),
    "hmac-sha256": Cost(1, 1, _HASH),
    "hmac-sha384": Cost(1, 1, 0.0016),
    "hmac-sha512": Cost(1, 1, 0.0016),
    "hmac-sm3": Cost(1, 1, _SM3),
    "cmac": Cost(3, 3, 0.035),
    "aes-siv": Cost(1, 5, 0.002),
    # the operation's `work` accounts for the key encapsulation
    "hpke": Cost(1, 1, 0.0003),
    "hkdf": Cost(60, 1, 0),
    "pbkdf2-sha256": Cost(0.16, 1, 0),
    "pbkdf2-sha384": Cost(0.40, 1, 0),
    "pbkdf2-sha512": Cost(0.40, 1, 0),
    "rsa-1024-private": Cost(1, 90, 0.0016),
    "rsa-2048-private": Cost(1, 320, 0.0016),
    "rsa-3072-private": Cost(1, 850, 0.0016),
    "rsa-4096-private": Cost(1, 1700, 0.0016),
    "rsa-1024-public": Cost(1, 15, 0.0016),
    "rsa-2048-public": Cost(1, 25, 0.0016),
    "rsa-3072-public": Cost(1, 45, 0.0016),
    "rsa-4096-public": Cost(1, 70, 0.0016),
    "ecdsa-p224-sign": Cost(1, 250, 0.0016),
    "ecdsa-p224-verify": Cost(1, 300, 0.0016),
    "ecdsa-p256-sign": Cost(1, 26, 0.0016),
    "ecdsa-p256-verify": Cost(1, 75, 0.0016),
    "ecdsa-p384-sign": Cost(1, 160, 0.0016),
    "ecdsa-p384-verify": Cost(1, 340, 0.0016),
    "ecdsa-p521-sign": Cost(1, 230, 0.0016),
    "ecdsa-p521-verify": Cost(1, 420, 0.0016),
    "ed25519-sign": Cost(1, 32, 0.0032),
    "ed25519-verify": Cost(1, 100, 0.0016),
    "ecdh-p224": Cost(400, 1, 0),
    "ecdh-p256": Cost(90, 1, 0),
    "ecdh-p384": Cost(500, 1, 0),
    "ecdh-p521": Cost(800, 1, 0),
    "x25519": Cost(40, 1, 0),
    "dh-2048": Cost(1500, 1, 0),
    "dh-3072": Cost(4000, 1, 0),
    "dh-4096": Cost(8000, 1, 0),
    "dsa-1024-sign": Cost(1, 150, 0.0016),
    "dsa-1024-verify": Cost(1, 150, 0.0016),
    "dsa-2048-sign": Cost(1, 400, 0.0016),
    "dsa-2048-verify": Cost(1, 400, 0.0016),
    "dsa-3072-sign": Cost(1, 900, 0.0016),
    "dsa-3072-verify": Cost(1, 900, 0.0016),
    "dsa-4096-sign": Cost(1, 1500, 0.0016),
    "dsa-4096-verify": Cost(1, 1500, 0.0016),
    "sm2-sign": Cost(1, 320, _SM3),
    "sm2-verify": Cost(1, 300, _SM3),
    "sm2-encrypt": Cost(1, 590, _SM2_MASK),
    "sm2-decrypt": Cost(1, 310, _SM2_MASK),
    "mldsa-44-sign": Cost(1, 540, _SHAKE),
    "mldsa-65-sign": Cost(1, 900, _SHAKE),
    "mldsa-87-sign": Cost(1, 1020, _SHAKE),
    "mldsa-44-verify": Cost(1, 118, _SHAKE),
    "mldsa-65-verify": Cost(1, 182, _SHAKE),
    "mldsa-87-verify": Cost(1, 282, _SHAKE),
    # the finish of a batch session
    "nothing": Cost(0, 0, 0),
}

UNKNOWN = Cost(1000, 1000, 0.01)
"""The cost of an operation that has no row in `COSTS`: high enough to send it to a worker."""


def _inline_bytes(fixed: float, per_byte: float) -> int:
    """The most bytes with which a call still runs on the event loop; -1 if it never does, however few."""
    left = INLINE_MICROSECONDS - fixed
    if left < 0:
        return -1
    return int(left / per_byte) if per_byte else sys.maxsize


# The limits are computed here once, so that most calls compare one number. Derivations with an iteration
# count have no fixed cost, so they have no limit here.
_FIXED = {kind: cost for kind, cost in COSTS.items() if not kind.startswith("pbkdf2")}
UPDATES_INLINE: dict[str, int] = {
    kind: _inline_bytes(cost.update, cost.per_byte) for kind, cost in _FIXED.items()
}
"""Kind → the most bytes with which an update certainly runs on the event loop."""
FINISHES_INLINE: dict[str, int] = {
    kind: _inline_bytes(cost.finish, cost.per_byte) for kind, cost in _FIXED.items()
}
"""Kind → the same for a finish, together with the bytes that the operation holds."""
