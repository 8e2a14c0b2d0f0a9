"""What a family of algorithms offers to the engine.

A family is a module with three functions, `generate`, `load` and `starter` (the protocol `Family`).
The engine has checked parameters against the support matrix and against the key before it asks for
a starter; a family checks what only it can know: lengths, values inside the data, the math.

The work is split in two, because a service repeats the same parameters with new data:
`starter(spec)` looks at the numbers once and gives a function; that function takes the ready key and
the byte strings of one call (nonce, data to authenticate, salt, …) and gives a running operation.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.operation import Operation
from huks_async.model.limits import Limits

Starter: TypeAlias = Callable[[Any, Mapping[int, bytes]], Operation]
"""(ready key from `Family.load`, byte parameters by tag) → operation. Raises BusinessError."""


class OperationSpec(NamedTuple):
    """What a session is to do, as far as numbers say it.

    Args:
        purpose: exactly one `HuksKeyPurpose`.
        algorithm: the session's algorithm (HKDF over an AES key, ECDH over an ECC key, …).
        key_algorithm: the algorithm of the key itself.
        size: size of the key: bits, or the number of the parameter set.
        mode: block mode, None where the algorithm has none.
        padding: padding, None where neither key nor session has one.
        digest: digest, None where neither key nor session has one.
        numbers: all number parameters of the session by tag (AE_TAG_LEN, ITERATION, …).
        limits: how much data an operation may collect, and whether none at all is refused.
        key_numbers: the number parameters stored with the key.
        device: whether the bounds are those of a device, to the byte.
    """

    purpose: int
    algorithm: int
    key_algorithm: int
    size: int
    mode: int | None
    padding: int | None
    digest: int | None
    numbers: Mapping[int, int]
    limits: Limits
    key_numbers: Mapping[int, int]
    device: bool = False


class Family(Protocol):
    """A module that knows a family of algorithms."""

    def generate(self, algorithm: int, size: int) -> KeyMaterial:
        """Make a new random key of a size that the matrix allows."""

    def load(self, material: KeyMaterial) -> Any:
        """Make the object that operations use, from material that was checked when it came in.

        It may be kept and used by many operations at once, from several threads.
        """

    def starter(self, spec: OperationSpec) -> Starter:
        """Prepare operations of this kind."""
