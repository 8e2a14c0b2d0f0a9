"""How key items are sealed: what the stored form must never repeat."""

import os

import pytest

from huks_async.crypto.key_material import KeyMaterial
from huks_async.keys.items.sealing import Sealer
from huks_async.model.params import ParamSet
from huks_async.stores.base import ItemName

NAME = ItemName("app", 1, "key")
MATERIAL = KeyMaterial(20, 256, bytes(32))


def _nonce(sealer):
    # no parameters: 4 bytes of magic, 4 of length, 2 of their number
    return sealer.seal(NAME, ParamSet(), MATERIAL)[10:22]


def test_no_nonce_is_used_twice():
    """Over several of the batches in which they are fetched."""
    sealer = Sealer(bytes(32))
    assert len({_nonce(sealer) for _ in range(1000)}) == 1000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_process_uses_other_nonces_than_its_parent():
    """Though both go on with the sealer that the parent had used before."""
    sealer = Sealer(bytes(32))
    first = _nonce(sealer)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, b"".join(_nonce(sealer) for _ in range(100)))
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        told = pipe.read()
    theirs = {told[start : start + 12] for start in range(0, len(told), 12)}
    assert len(theirs) == 100
    assert not theirs & {first, *(_nonce(sealer) for _ in range(100))}
