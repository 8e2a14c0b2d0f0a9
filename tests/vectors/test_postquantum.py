"""ML-DSA and ML-KEM: the known answers for keys, signatures, and decapsulation.

Imported private keys are in the expanded form, which needs the extra `pqc-expanded`.
"""

from collections.abc import Awaitable, Callable

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from huks_async import BusinessError, HuksOptions, HuksTag
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.postquantum import mldsa, mlkem
from tests.keys.key_samples import header_form
from tests.vectors.keyforms import der
from tests.vectors.names import ML_DSA, ML_KEM, PAIR, PUBLIC, SIGN, SIGNATURE, UNWRAP, VERIFY, WRAP
from tests.vectors.readers import NIST
from tests.vectors.runs import Key, engine_run, opened
from tests.vectors.tally import Tally

pytestmark = pytest.mark.asyncio

_OIDS = {44: 17, 65: 18, 87: 19, 768: 2, 1024: 3}
"""Last arcs of NIST's identifiers: 2.16.840.1.101.3.4.3.x for ML-DSA, …4.4.x for ML-KEM."""


def known_answers(path: str) -> list[dict[str, str]]:
    """The cases of a file whose paragraphs may lack blank lines between them."""
    cases: list[dict[str, str]] = []
    for line in (NIST / "asymmetric" / path).read_text().splitlines():
        name, equals, value = (part.strip() for part in line.partition("="))
        if name == "count":
            cases.append({})
        if equals and cases:
            cases[-1][name] = value
    assert cases
    return cases


def spki(size: int, public: bytes) -> bytes:
    """A public key, encoded by hand."""
    family = 3 if size < 100 else 4
    oid = bytes.fromhex("60864801650304") + bytes((family, _OIDS[size]))
    return der(0x30, der(0x30, der(6, oid)), der(3, b"\0", public))


@pytest.mark.parametrize("size", [44, 65, 87])
async def test_ml_dsa(size: int) -> None:
    """Keys of the known answers export their public half, and their signatures verify with the context."""
    tally = Tally(f"ML-DSA-{size}")
    async with opened() as runs:
        for turn, case in enumerate(known_answers(f"MLDSA/kat_MLDSA_{size}_det_pure.rsp")):
            seed, public, secret, message, context = (
                bytes.fromhex(case[name]) for name in ("xi", "pk", "sk", "msg", "ctx")
            )
            signature = bytes.fromhex(case["sm"])[: -len(message) or None]
            key = await runs.key(ML_DSA, size, spki(size, public), VERIFY, PUBLIC)
            more = {"CONTEXT": context}
            tally.check(await runs.verifies(key, VERIFY, message, signature, **more), turn)
            wrong = await runs.verifies(key, VERIFY, message, signature, CONTEXT=context + b"!")
            tally.check(not wrong or len(context) == 255, turn)
            blob = header_form(ML_DSA, size, {"public": public, "private": secret})
            pair = await _pair(lambda blob=blob: runs.key(ML_DSA, size, blob, SIGNATURE, PAIR), tally)
            if pair is not None:
                made = await runs.run(pair, SIGN, message, **more)
                key = await runs.key(ML_DSA, size, spki(size, public), VERIFY, PUBLIC)
                tally.check(await runs.verifies(key, VERIFY, message, made, **more), turn)
            # the seed is how generated keys are kept: it must make the same key
            material = KeyMaterial(ML_DSA, size, seed)
            computed = mldsa.load(material).public
            encoded = computed.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            tally.check(encoded == spki(size, public), turn, engine=True)
            blobs = {HuksTag.HUKS_TAG_CONTEXT: context}
            made = engine_run(mldsa, material, SIGN, message, b"", blobs=blobs)
            load_der_public_key(spki(size, public)).verify(made, message, context)
            tally.check(True, turn, engine=True)
    tally.settle(sessions=200, engine=200)


async def _pair(call: Callable[[], Awaitable[Key]], tally: Tally) -> Key | None:
    try:
        return await call()
    except BusinessError as error:
        if error.code != 12000001:
            raise
        tally.skip("no library for expanded keys (extra pqc-expanded)")
        return None


@pytest.mark.parametrize("size", [768, 1024])
async def test_ml_kem(size: int) -> None:
    """Seeds make the keys of the known answers, and both ciphertexts open to their secrets.

    Keys made from seeds are not imported: this is the crypto room alone. `ct_n` is damaged: its secret is the one of the implicit rejection.
    """
    tally = Tally(f"ML-KEM-{size}")
    for turn, case in enumerate(known_answers(f"MLKEM/kat_MLKEM_{size}.rsp")):
        seed = bytes.fromhex(case["d"] + case["z"])
        key = mlkem.load(KeyMaterial(ML_KEM, size, seed))
        tally.check(key.public.public_bytes_raw() == bytes.fromhex(case["pk"]), turn, engine=True)
        for ciphertext, secret in (("ct", "ss"), ("ct_n", "ss_n")):
            got = mlkem.decapsulate(key, bytes.fromhex(case[ciphertext]))
            tally.check(got == bytes.fromhex(case[secret]), (turn, ciphertext), engine=True)
    tally.settle(engine=3000)


@pytest.mark.parametrize("size", [768, 1024])
async def test_expanded_ml_kem(size: int) -> None:
    """The expanded keys of the known answers come in as pairs, and `decapsulate` gives the secrets."""
    tally = Tally(f"ML-KEM-{size} expanded")
    async with opened() as runs:
        for turn, case in enumerate(known_answers(f"MLKEM/kat_MLKEM_{size}.rsp")):
            public, secret = bytes.fromhex(case["pk"]), bytes.fromhex(case["sk"])
            blob = header_form(ML_KEM, size, {"public": public, "private": secret})
            pair = await _pair(lambda blob=blob: runs.key(ML_KEM, size, blob, WRAP | UNWRAP, PAIR), tally)
            if pair is None:
                continue
            exported = (await runs.keystore.exportKeyItem(pair.alias, HuksOptions([], b""))).outData
            tally.check(exported == spki(size, public), turn)
            for ciphertext, shared in (("ct", "ss"), ("ct_n", "ss_n")):
                got = await runs.keystore.decapsulate(
                    pair.alias, list(pair.params), bytes.fromhex(case[ciphertext])
                )
                tally.check(got.sharedSecret == bytes.fromhex(case[shared]), (turn, ciphertext))
    tally.settle(sessions=0 if tally.skipped else 3000)


async def test_ml_kem_512() -> None:
    """ML-KEM-512 is not offered: its keys are refused."""
    tally = Tally("ML-KEM-512")
    async with opened() as runs:
        for case in known_answers("MLKEM/kat_MLKEM_512.rsp"):
            oid = bytes.fromhex("6086480165030404") + b"\1"
            data = der(0x30, der(0x30, der(6, oid)), der(3, b"\0", bytes.fromhex(case["pk"])))
            try:
                await runs.key(ML_KEM, 512, data, WRAP, PUBLIC)
                code = None
            except BusinessError as error:
                code = error.code
            tally.refuse("HUKS has ML-KEM-768 and ML-KEM-1024 (12000003)", code, 12000003)
    tally.settle()
    assert tally.refused.total() == 1000
