"""What a session gives does not depend on the way that its data takes: at once, after a turn, in a worker, in slices."""

import itertools
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

import huks_async as huks
from huks_async.sessions.costs import COSTS, FINISHES_INLINE, UPDATES_INLINE
from tests.conformance import support as s

pytestmark = pytest.mark.asyncio

KEY = bytes(range(32))
CIPHER: s.Params = {"ALGORITHM": s.AES, "KEY_SIZE": 256, "PADDING": s.NOPAD}
CBC: s.Params = CIPHER | {"BLOCK_MODE": s.CBC, "PADDING": s.PKCS7, "IV": s.IV16}
GCM: s.Params = CIPHER | {"BLOCK_MODE": s.GCM, "NONCE": s.NONCE12}
MAC: s.Params = {"ALGORITHM": s.HMAC, "KEY_SIZE": 256, "DIGEST": s.SHA256, "PURPOSE": s.MAC}


def sizes(kind: str) -> list[int]:
    """Lengths about the borders at which a call takes another way, in whole blocks and not."""
    slices = COSTS[kind].slice_bytes
    assert slices is not None
    borders = {UPDATES_INLINE[kind], FINISHES_INLINE[kind], slices, 2 * slices}
    return sorted({max(border + more, 0) for border in borders for more in (-17, -16, -1, 0, 1)} | {0, 16})


def cuts(length: int, kind: str) -> list[list[int]]:
    """Where data is cut into segments, of which the last one goes to finish."""
    slices = COSTS[kind].slice_bytes
    assert slices is not None
    one = {1, 15, 16, 17, slices - 1, slices, length - slices, length - 16, length - 1, length}
    return [[], *([cut] for cut in sorted(one) if 0 <= cut <= length), [length // 3, length // 2]]


async def outcome(keystore: huks.Keystore, data: bytes, cut: list[int], turn: bool, tags: s.Params) -> Any:
    """The output or the code of a session that is over afterwards, whatever happened."""
    session = await keystore.initSession("k", s.options(**tags))
    dispatcher = keystore._open_state().dispatcher
    given: bytes | int = b""
    try:
        edges = [0, *cut]
        out = []
        for start, end in itertools.pairwise(edges):
            dispatcher.turn_ends = 0.0 if turn else float("inf")
            out.append(await keystore.updateSession(session.handle, s.data(data[start:end])))
        dispatcher.turn_ends = 0.0 if turn else float("inf")
        out.append(await keystore.finishSession(session.handle, s.data(bytearray(data[edges[-1] :]))))
        given = b"".join(each.outData for each in out)
    except huks.BusinessError as error:
        given = error.code
    assert await s.is_gone(keystore, session.handle)
    return given


async def on_each_way(keystore: huks.Keystore, kind: str, data: bytes, wanted: Any, tags: s.Params) -> None:
    """Hold all ways against what another program computed."""
    for number, cut in enumerate(cuts(len(data), kind)):
        got = await outcome(keystore, data, cut, bool(number % 2), tags)
        assert got == wanted, (kind, len(data), cut)


def by_cryptography(mode: modes.CBC | modes.GCM, text: bytes) -> tuple[bytes, bytes]:
    """Ciphertext and tag."""
    encryptor = Cipher(algorithms.AES256(KEY), mode).encryptor()
    sealed = encryptor.update(text) + encryptor.finalize()
    return sealed, getattr(encryptor, "tag", b"")


async def test_cbc_with_padding() -> None:
    """A padding may lie over the border of two slices; one that is cut is refused in the same way everywhere."""
    async with huks.Keystore.open("memory:", monitor=False) as keystore:
        made = {tag: value for tag, value in CBC.items() if tag != "IV"}
        await keystore.importKeyItem("k", s.options(KEY, **made, PURPOSE=s.CIPHER))
        opening = CBC | {"PURPOSE": s.DECRYPT}
        for kind in ("aes-cbc-encrypt", "aes-cbc-decrypt"):
            for length in sizes(kind):
                text = bytes(length)
                padder = PKCS7(128).padder()
                sealed, _ = by_cryptography(modes.CBC(s.IV16), padder.update(text) + padder.finalize())
                if kind == "aes-cbc-encrypt":
                    await on_each_way(keystore, kind, text, sealed, CBC | {"PURPOSE": s.ENCRYPT})
                    continue
                await on_each_way(keystore, kind, sealed, text, opening)
                await on_each_way(keystore, kind, sealed[:-1], 12000006, opening)
                # all zeros end in no padding
                unpadded, _ = by_cryptography(modes.CBC(s.IV16), bytes(length // 16 * 16))
                await on_each_way(keystore, kind, unpadded, 12000006, opening)


async def test_gcm() -> None:
    """A tag that is data, and data that is a tag, are refused wherever the border lies."""
    async with huks.Keystore.open("memory:", monitor=False) as keystore:
        made = {tag: value for tag, value in GCM.items() if tag != "NONCE"}
        await keystore.importKeyItem("k", s.options(KEY, **made, PURPOSE=s.CIPHER))
        for length in sizes("aes-gcm"):
            text = bytes(length)
            sealed, tag = by_cryptography(modes.GCM(s.NONCE12), text)
            await on_each_way(keystore, "aes-gcm", text, sealed + tag, GCM | {"PURPOSE": s.ENCRYPT})
            opening = GCM | {"PURPOSE": s.DECRYPT, "AE_TAG": tag}
            await on_each_way(keystore, "aes-gcm", sealed, text, opening)
            await on_each_way(keystore, "aes-gcm", sealed + tag, 12000006, opening)
            if length >= 16:
                moved = opening | {"AE_TAG": sealed[-16:]}
                await on_each_way(keystore, "aes-gcm", sealed[:-16], 12000006, moved)


async def test_hmac() -> None:
    """The code of a message is that of its bytes."""
    async with huks.Keystore.open("memory:", monitor=False) as keystore:
        await keystore.importKeyItem("k", s.options(KEY, **MAC))
        for length in sizes("hmac-sha256"):
            expected = hmac.HMAC(KEY, hashes.SHA256())
            expected.update(bytes(length))
            await on_each_way(keystore, "hmac-sha256", bytes(length), expected.finalize(), MAC)
