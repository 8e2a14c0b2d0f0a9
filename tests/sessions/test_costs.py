"""The table of costs knows every operation that a session can run."""

import functools
import warnings

import pytest

from huks_async.crypto import engine
from huks_async.crypto.key_material import KeyMaterial
from huks_async.model.enums import HuksKeyAlg
from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits
from huks_async.model.tags import HuksTag
from huks_async.sessions.costs import COSTS, INLINE_MICROSECONDS
from tests.crypto.matrix_cells import Cell, cells

T = HuksTag
COMPUTED = {HuksKeyAlg.HUKS_ALG_RSA: 1024, HuksKeyAlg.HUKS_ALG_DSA: 1024}
OF_MESSAGES = {"aes-siv", "hpke"}  # operations of functions on messages, which are no sessions
OF_BATCHES = {"nothing"}
EXPENSIVE = {"rsa-2048-private", "rsa-4096-private", "dh-2048", "sm2-sign", "mldsa-65-sign", "ecdh-p521"}


@functools.cache
def material(algorithm: int, size: int) -> KeyMaterial:
    """A key; one of 1024 bits stands for all of RSA and DSA, since the size alone decides the row."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = engine.generate(algorithm, COMPUTED.get(HuksKeyAlg(algorithm), size))
    return KeyMaterial(algorithm, size, made.secret, made.public)


def kind_of(cell: Cell) -> str:
    """The row of the session's operation."""
    key = material(cell.algorithm, cell.size)
    numbers = {
        int(T.HUKS_TAG_ALGORITHM): cell.algorithm,
        int(T.HUKS_TAG_PURPOSE): cell.purposes,
        **cell.fixed,
    }
    session = {
        int(T.HUKS_TAG_ALGORITHM): cell.session,
        int(T.HUKS_TAG_PURPOSE): cell.purpose,
        int(T.HUKS_TAG_KEY_SIZE): cell.size,
        int(T.HUKS_TAG_DERIVE_KEY_SIZE): 16,
        int(T.HUKS_TAG_ITERATION): 1000,
        **cell.fixed,
    }
    short = cell.algorithm in (HuksKeyAlg.HUKS_ALG_DES, HuksKeyAlg.HUKS_ALG_3DES, HuksKeyAlg.HUKS_ALG_CMAC)
    blobs = {
        int(T.HUKS_TAG_IV): bytes(8 if short else 16),
        int(T.HUKS_TAG_NONCE): bytes(12),
        int(T.HUKS_TAG_AE_TAG): bytes(16),
        int(T.HUKS_TAG_SALT): bytes(16),
    }
    starter = engine.prepare(numbers, key, session, Limits())
    return starter(engine.load(key), blobs).kind


@pytest.mark.filterwarnings("ignore::huks_async.model.errors.HuksLegacyWarning")
def test_every_operation_has_a_row_and_every_row_an_operation() -> None:
    """The rows of the table are exactly the kinds that the matrix's sessions have."""
    kinds: set[str] = set()
    lacking: dict[str, int] = {}
    for cell in cells():
        try:
            kinds.add(kind_of(cell))
        except BusinessError as error:
            lacking[str(cell)] = error.code
    # too small for its padding (OAEP, salts), no derivation over SM4, or an extra is not installed
    assert set(lacking.values()) <= {12000001, 12000004, 12000006}, lacking
    if any(name.startswith("SM2") for name in lacking):
        pytest.skip("no libcrypto for SM2 here")
    assert kinds | OF_MESSAGES | OF_BATCHES == set(COSTS)


def test_costly_operations_leave_the_event_loop() -> None:
    """What takes longer than two hops to a thread goes to one; what takes less does not."""
    for kind, cost in COSTS.items():
        whole = max(cost.update, cost.finish)
        if kind in EXPENSIVE:
            assert whole > INLINE_MICROSECONDS, kind
        if kind.startswith(("aes", "hmac", "ecdsa-p256", "ed25519", "x25519", "ecdh-p256")):
            assert whole <= INLINE_MICROSECONDS, kind
