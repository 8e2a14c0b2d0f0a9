"""Fresh randomness for OpenSSL's own generator, which makes keys and the secrets of some operations.

Each thread has a generator of OpenSSL's in the memory of the process, and it is seeded anew when the
process has another id than before. So it notices every fork, but not the copy of a machine or a
container (Firecracker, Lambda SnapStart, CRIU) nor a child that has its parent's id in a namespace of
its own. The copies would make the same keys from then on, for up to 65,536 requests.

`stir` is called before OpenSSL makes a key or an encryption. It is not needed for signatures: nonces of
ECDSA, DSA and ML-DSA depend on key and message, too, so that equal randomness does no harm there, and a
salt of RSA-PSS may repeat. It is needed for all that SM2 does.
"""

from collections.abc import Callable

from huks_async.runtime.randomness import random_bytes

_SEED_BYTES = 32


def _find_rand_add() -> Callable[[bytes, int, float], None] | None:
    try:
        # Not documented, but what pyOpenSSL's `OpenSSL.rand.add` is made of.
        from cryptography.hazmat.bindings.openssl.binding import Binding

        found: Callable[[bytes, int, float], None] = Binding().lib.RAND_add
    except (ImportError, AttributeError):
        return None
    return found


_rand_add = _find_rand_add()

CAN_STIR = _rand_add is not None
"""Whether this version of `cryptography` lets its OpenSSL be given randomness; `huks doctor` tells."""


def stir() -> None:
    """Give the OpenSSL below `cryptography` fresh randomness of the kernel's, in all threads. Takes 3 µs.

    Its generators mix it in before they give the next byte, which takes them some 5 µs.
    """
    if _rand_add is not None:
        _rand_add(random_bytes(_SEED_BYTES), _SEED_BYTES, _SEED_BYTES)
