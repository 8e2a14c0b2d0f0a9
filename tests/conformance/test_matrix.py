"""Walks the whole support matrix: every legal cell there and back, every neighbour to its documented code."""

import importlib.util
import os
import warnings
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

import huks_async as huks
from huks_async.crypto.rules.matrix import AGREE, ALGORITHMS, CIPHER, DERIVE, MAC, SIGNATURE, Algorithm
from tests.conformance import support as s
from tests.conformance.matrix_cells import Cell, cells, neighbours
from tests.conformance.support import NOTHING, options, refused, run
from tests.keys.key_samples import header_form, sample

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.filterwarnings("ignore::huks_async.HuksLegacyWarning"),
    pytest.mark.filterwarnings("ignore::huks_async.HuksCompatibilityWarning"),
]
NAMES = {int(number): algorithm.number.name for number, algorithm in ALGORITHMS.items()}
HASH_BYTES = {s.MD5: 16, s.SHA1: 20, s.SHA224: 28, s.SHA256: 32, s.SHA384: 48, s.SHA512: 64, s.SM3: 32}
DIGEST_INFO = {s.MD5: 18, s.SHA1: 15, s.SHA224: 19, s.SHA256: 19, s.SHA384: 19, s.SHA512: 19}
_DSA_FILES = {
    2048: "Traditional_OpenSSL_Serialization/dsa.2048.pem",
    3072: "Traditional_OpenSSL_Serialization/dsa.3072.pem",
    4096: "PEM_Serialization/dsa_4096.pem",
}


def cut(message: bytes) -> tuple[list[bytes], bytes]:
    """A message in segments of odd sizes for update, and the rest for finish."""
    return [message[:1], message[1:18], b"", message[18:40]], message[40:]


def _dsa_fields(size: int) -> dict[str, bytes]:
    """A DSA key of a file of vectors; making one takes seconds."""
    package = importlib.util.find_spec("cryptography_vectors")
    if package is None or not package.submodule_search_locations:
        pytest.skip("cryptography-vectors is not installed: no DSA keys of 3072 and 4096 bits")
    path = Path(package.submodule_search_locations[0]) / "asymmetric" / _DSA_FILES[size]
    private = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(private, dsa.DSAPrivateKey)
    numbers = private.private_numbers()
    public, group = numbers.public_numbers, numbers.public_numbers.parameter_numbers
    assert group.p.bit_length() == size
    values = {"x": numbers.x, "y": public.y, "p": group.p, "q": group.q, "g": group.g}
    return {name: value.to_bytes((value.bit_length() + 7) // 8, "big") for name, value in values.items()}


class Walk:
    """The cells of one algorithm on one keystore; keys that are slow to make are shared by their cells."""

    def __init__(self, keystore: huks.Keystore) -> None:
        self.keystore = keystore
        self._made: set[str] = set()

    async def key(self, cell: Cell, suffix: str = "") -> str:
        """A key for the cell; symmetric and quick ones with the cell's own mode, padding and digest."""
        shared = cell.algorithm in (s.RSA, s.DSA, s.DH)
        alias = f"{cell.algorithm} {cell.size} {cell.usage.purposes} {suffix}"
        if not shared:
            alias += f" {cell.mode} {cell.padding} {cell.digest}"
        if alias in self._made:
            return alias
        self._made.add(alias)
        key = {"ALGORITHM": cell.algorithm, "KEY_SIZE": cell.size, "PURPOSE": cell.usage.purposes}
        if not shared:
            key |= cell.tags
        if cell.algorithm == s.RSA and not cell.generable:
            blob = sample(s.RSA, cell.size).blob()
            await self.keystore.importKeyItem(alias, options(blob, **key, IMPORT_KEY_TYPE=s.PAIR))
        elif cell.algorithm == s.DSA and cell.size != 1024:
            blob = header_form(s.DSA, cell.size, _dsa_fields(cell.size))
            await self.keystore.importKeyItem(alias, options(blob, **key, IMPORT_KEY_TYPE=s.PAIR))
        else:
            await self.keystore.generateKeyItem(alias, options(**key))
        return alias

    async def walk(self, cell: Cell) -> None:
        """There and back, by what the cell is for."""
        await _WAYS[cell.usage.purposes](self, cell, await self.key(cell))

    async def cipher(self, cell: Cell, alias: str) -> None:
        """Encrypt in segments and in one piece; both decrypt, in other segments, to the plaintext."""
        plain = _plaintext(cell)
        base: dict[str, Any] = {"ALGORITHM": cell.session, "KEY_SIZE": cell.size, **cell.tags}
        length = 8 if cell.algorithm in (s.DES, s.DES3) else 16
        if cell.mode in (s.GCM, s.CCM):
            base |= {"NONCE": s.NONCE12, "AAD": b"associated"}
        elif cell.mode not in (None, s.ECB):
            base |= {"IV": bytes(range(length))}
        updates, last = cut(plain)
        if cell.algorithm == s.SM2:
            updates = [part for part in updates if part]
        sealed = await run(self.keystore, alias, *updates, last=last, **base, PURPOSE=s.ENCRYPT)
        whole = await run(self.keystore, alias, last=plain, **base, PURPOSE=s.ENCRYPT)
        random = cell.algorithm == s.SM2 or (cell.algorithm == s.RSA and cell.padding != s.NOPAD)
        assert (sealed == whole) != random
        for out in (sealed, whole):
            opened = base | {"PURPOSE": s.DECRYPT}
            text = out
            if cell.mode in (s.GCM, s.CCM):
                text, opened["AE_TAG"] = out[:-16], out[-16:]
            updates, last = cut(text)
            got = await run(self.keystore, alias, *[part for part in updates if part], last=last, **opened)
            assert got == plain

    async def signature(self, cell: Cell, alias: str) -> None:
        """Sign in segments; the signature verifies, and neither another message nor another signature does."""
        message = _message(cell)
        base = {"ALGORITHM": cell.session, **cell.tags}
        updates, last = cut(message)
        signature = await run(self.keystore, alias, *updates, last=last, **base, PURPOSE=s.SIGN)
        for parts in ([message], [*updates, last]):
            assert await run(self.keystore, alias, *parts, last=signature, **base, PURPOSE=s.VERIFY) == b""
        # the end of a hash value longer than the key's order plays no part
        other = bytes([message[0] ^ 1]) + message[1:]
        assert not await s.verifies(self.keystore, alias, other, signature, **base)
        changed = signature[:-1] + bytes([signature[-1] ^ 1])
        assert not await s.verifies(self.keystore, alias, message, changed, **base)

    async def mac(self, cell: Cell, alias: str) -> None:
        """The MAC is that of the message however it is cut, and another for another message."""
        message = os.urandom(77)
        base = {"ALGORITHM": cell.session, **cell.tags, "PURPOSE": s.MAC}
        if cell.session == s.CMAC:
            base["IV"] = bytes(8)
        updates, last = cut(message)
        mac = await run(self.keystore, alias, *updates, last=last, **base)
        assert mac == await run(self.keystore, alias, last=message, **base)
        assert mac != await run(self.keystore, alias, last=message[:-1], **base)
        assert len(mac) == (8 if cell.session == s.CMAC else HASH_BYTES[cell.digest])  # type: ignore[index]

    async def derive(self, cell: Cell, alias: str) -> None:
        """Twice the same, other bytes for another salt; no derivation takes SM3."""
        base: dict[str, Any] = {"ALGORITHM": cell.session, "DIGEST": cell.digest, "PURPOSE": s.DERIVE}
        base |= {"DERIVE_KEY_SIZE": 45, "SALT": s.SALT16}
        if cell.session == s.PBKDF2:
            base["ITERATION"] = 1000
        if cell.digest == s.SM3:
            with refused(12000006):
                await self.keystore.initSession(alias, options(**base))
            return
        first = await run(self.keystore, alias, b"ignored", **base)
        assert len(first) == 45
        assert await run(self.keystore, alias, b"", **base) == first
        assert await run(self.keystore, alias, b"", **base | {"SALT": bytes(16)}) != first

    async def agree(self, cell: Cell, alias: str) -> None:
        """Both sides get the same secret."""
        base = {"ALGORITHM": cell.session, "KEY_SIZE": cell.size, "PURPOSE": s.AGREE}
        other = await self.key(cell, "other side")
        public = {name: (await self.keystore.exportKeyItem(name, NOTHING)).outData for name in (alias, other)}
        ours = await run(self.keystore, alias, public[other], **base)
        assert ours == await run(self.keystore, other, public[alias], **base)
        assert len(ours) == (cell.size + 7) // 8


_WAYS: dict[int, Callable[[Walk, Cell, str], Coroutine[Any, Any, None]]] = {
    CIPHER: Walk.cipher,
    SIGNATURE: Walk.signature,
    MAC: Walk.mac,
    DERIVE: Walk.derive,
    AGREE: Walk.agree,
}


def _plaintext(cell: Cell) -> bytes:
    if cell.algorithm != s.RSA:
        return os.urandom(96)
    width = cell.size // 8
    if cell.padding == s.NOPAD:
        return b"\0" + os.urandom(width - 1)
    return os.urandom(width - 11 if cell.padding == s.PKCS1 else max(width - 2 * _hash(cell) - 2, 0))


def _message(cell: Cell) -> bytes:
    if cell.digest != s.NO_DIGEST:
        return os.urandom(99)
    if cell.algorithm == s.RSA and cell.padding == s.NOPAD:
        return b"\0" + os.urandom(cell.size // 8 - 1)
    return os.urandom(32)


def _hash(cell: Cell) -> int:
    return HASH_BYTES[s.SHA256 if cell.digest in (None, s.NO_DIGEST) else cell.digest]


def too_small_code(cell: Cell) -> int | None:
    """The code where an RSA key has no room for padding and digest, or None where it has."""
    if cell.algorithm != s.RSA or cell.padding == s.NOPAD:
        return None
    width, digest = cell.size // 8, _hash(cell)
    if cell.usage.purposes == CIPHER:
        return 12000004 if cell.padding == s.OAEP and width < 2 * digest + 2 else None
    if cell.padding == s.PSS:
        return 12000006 if width < digest + 2 else None
    info = DIGEST_INFO[s.SHA256 if cell.digest == s.NO_DIGEST else cell.digest]  # type: ignore[index]
    return 12000006 if width < digest + info + 11 else None


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=NAMES.values())
async def test_every_cell_works(keystore: huks.Keystore, algorithm: Algorithm) -> None:
    """Each legal cell goes from generation to finish and back; failures are told together."""
    walk = Walk(keystore)
    wrong = []
    for cell in cells(algorithm):
        try:
            code = too_small_code(cell)
            if code is None:
                await walk.walk(cell)
            else:
                with refused(code):
                    await walk.walk(cell)
        except (AssertionError, huks.BusinessError) as error:
            wrong.append(f"{cell}: {error}")
    assert not wrong, "\n".join(wrong)
    assert keystore.statistics().open == 0


@pytest.mark.parametrize("profile", ["server", "device"])
@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=NAMES.values())
async def test_every_neighbour_is_refused(algorithm: Algorithm, profile: str) -> None:
    """Each combination just outside gives its documented code, and leaves neither key nor session."""
    wrong = []
    made: dict[str, str] = {}
    async with huks.Keystore.open("memory:", profile=profile, monitor=False) as keystore:
        for neighbour in neighbours(algorithm):
            code = neighbour.code
            if profile == "device" and neighbour.session and neighbour.session["ALGORITHM"] == s.CMAC:
                code = 12000003
            if profile == "device" and not algorithm.device:
                if neighbour.session is not None:
                    continue
                code = 12000003
            try:
                if neighbour.session is None:
                    with refused(code):
                        await keystore.generateKeyItem("refused", options(**neighbour.key))
                    continue
                alias = made.setdefault(str(neighbour.key), str(len(made)))
                if not await keystore.hasKeyItem(alias, NOTHING):
                    await keystore.generateKeyItem(alias, options(**neighbour.key))
                with refused(code):
                    await keystore.initSession(alias, options(**neighbour.session))
            except (AssertionError, huks.BusinessError, pytest.fail.Exception) as error:
                wrong.append(f"{neighbour.name}, expected {code}: {error}")
        assert not wrong, "\n".join(wrong)
        assert not await keystore.hasKeyItem("refused", NOTHING)
        assert keystore.statistics().open == 0


async def test_the_walk_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    """Tells how many cells and neighbours there are; every algorithm with a session has some of both."""
    counts = {}
    with warnings.catch_warnings():
        for algorithm in ALGORITHMS.values():
            counts[algorithm.number.name] = (
                sum(1 for _ in cells(algorithm)),
                sum(1 for _ in neighbours(algorithm)),
            )
    with capsys.disabled():
        print()
        for name, (inside, outside) in counts.items():
            print(f"{name:20} {inside:5} cells {outside:5} neighbours")
        print(
            f"{'all':20} {sum(c for c, _ in counts.values()):5} cells {sum(n for _, n in counts.values()):5}"
        )
    with_sessions = {a.number.name for a in ALGORITHMS.values() if any(u.sessions for u in a.usages)}
    assert all(counts[name][0] > 0 for name in with_sessions)
    assert all(outside > 0 for _, outside in counts.values())
