"""ECDH, X25519, DH, and Ed25519: NIST's agreements and the RFCs' vectors."""

import pytest

from huks_async.crypto.asymmetric import dh
from tests.keys.key_samples import header_form
from tests.vectors.keyforms import CURVES, big, curve_spki, der, numbers
from tests.vectors.names import (
    AGREE,
    DH,
    ECC,
    ECDH,
    ED25519,
    PAIR,
    PRIVATE,
    SIGN,
    SIGNATURE,
    VERIFY,
    X25519,
)
from tests.vectors.readers import NIST, nist
from tests.vectors.runs import Runs, code_of, opened
from tests.vectors.tally import Tally

SECTIONS = {"EB": 224, "EC": 256, "ED": 384, "EE": 521}
NO_CURVE = "HUKS has no P-192"
KAS_DH = "asymmetric/DH/KASValidityTest_FFCStatic_NOKC_ZZOnly_{}.fax"


@pytest.mark.asyncio
@pytest.mark.parametrize("role", ["init", "resp"])
async def test_ecdh(role: str) -> None:
    """Both sides of NIST's agreements get Z; keys that are not valid are refused."""
    tally = Tally(f"ECDH KASValidity {role}")
    refusals = 0
    async with opened() as runs:
        path = f"asymmetric/ECDH/KASValidityTest_ECCStaticUnified_NOKC_ZZOnly_{role}.fax"
        for case in nist(path, "result"):
            bits = SECTIONS.get(case["section"].split()[0])
            if bits is None:
                tally.skip(NO_CURVE)
                continue
            good = "PKV" not in case["result"] and "private key d changed" not in case["result"]
            code, secret = await _agree(runs, bits, case)
            if good:
                changed = "Z changed" in case["result"]
                tally.check((secret == bytes.fromhex(case["z"])) != changed, case)
            else:
                refusals += 1
                # a pair of ours whose halves do not fit does not come in; a peer's point that is none is refused
                tally.check(code in (401, 12000006), case)
    assert refusals >= 10
    tally.settle(sessions=120)


async def _agree(runs: Runs, bits: int, case: dict[str, str]) -> tuple[int | None, bytes]:
    width = (bits + 7) // 8
    d, x, y, peer_x, peer_y = numbers(case, "dsiut", "qsiutx", "qsiuty", "qscavsx", "qscavsy")
    blob = header_form(ECC, bits, {"x": big(x, width), "y": big(y, width), "z": big(d, width)})
    key_code = await code_of(runs.key(ECC, bits, blob, AGREE, PAIR))
    if key_code is not None:
        return key_code, b""
    key = await runs.key(ECC, bits, blob, AGREE, PAIR)
    call = runs.derive(key, AGREE, curve_spki(bits, peer_x, peer_y), ALGORITHM=ECDH)
    outcome: list[bytes] = []

    async def keep() -> None:
        outcome.append(await call)

    code = await code_of(keep())
    return code, outcome[0] if outcome else b""


@pytest.mark.asyncio
async def test_x25519() -> None:
    """X25519 gives the results of RFC 7748."""
    tally = Tally("X25519 rfc7748")
    async with opened() as runs:
        for case in nist("asymmetric/X25519/rfc7748.txt", "output_u"):
            secret, peer = bytes.fromhex(case["input_scalar"]), bytes.fromhex(case["input_u"])
            key = await runs.key(X25519, 256, secret, AGREE, PRIVATE)
            tally.check(await runs.derive(key, AGREE, peer) == bytes.fromhex(case["output_u"]), case)
        tally.check(await _repeated(runs, 1000) == REPEATED_1000, "repeated 1000 times")
    tally.settle(sessions=4)


REPEATED_1000 = bytes.fromhex("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51")
"""RFC 7748, section 5.2: what 1000 agreements, each with the last two results, arrive at."""


async def _repeated(runs: Runs, times: int) -> bytes:
    scalar = point = b"\x09" + bytes(31)
    for _ in range(times):
        key = await runs.key(X25519, 256, scalar, AGREE, PRIVATE)
        scalar, point = await runs.derive(key, AGREE, point), scalar
    return scalar


@pytest.mark.asyncio
async def test_ed25519() -> None:
    """The 1024 key pairs and messages of the Ed25519 authors give their signatures, and verify."""
    tally = Tally("Ed25519 sign.input")
    async with opened() as runs:
        for line in (NIST / "asymmetric/Ed25519/sign.input").read_text().splitlines():
            secret, public, message, signed = (bytes.fromhex(part) for part in line.split(":")[:4])
            blob = header_form(ED25519, 256, {"public": public, "private": secret[:32]})
            key = await runs.key(ED25519, 256, blob, SIGNATURE, PAIR)
            signature = await runs.run(key, SIGN, message)
            tally.check(signature + message == signed, line[:64])
            tally.check(await runs.verifies(key, VERIFY, message, signature), line[:64])
            spoilt = message + b"!"
            tally.check(not await runs.verifies(key, VERIFY, spoilt, signature), line[:64])
    tally.settle(sessions=3072)


def dh_spki(p: int, g: int, y: int) -> bytes:
    """A DH public key in the form of PKCS #3."""
    oid = der(6, bytes.fromhex("2a864886f70d010301"))
    group = der(0x30, _integer(p), _integer(g))
    return der(0x30, der(0x30, oid, group), der(3, b"\0", _integer(y)))


def _integer(number: int) -> bytes:
    return der(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


@pytest.mark.asyncio
async def test_dh() -> None:
    """NIST's private values agree, in the groups of RFC 7919, on what plain integers give.

    No published vector uses these groups.
    """
    tally = Tally("DH KASValidity, values in ffdhe groups")
    async with opened() as runs:
        for turn, case in enumerate(nist(KAS_DH.format("init"), "result")):
            own, other = numbers(case, "xstatiut", "xstatcavs")
            size = (2048, 3072, 4096)[0 if turn % 8 else turn // 8 % 3]
            prime = dh.prime_of(size)
            public = pow(2, own, prime)
            blob = header_form(DH, size, {"public": big(public, size // 8), "private": big(own)})
            key = await runs.key(DH, size, blob, AGREE, PAIR)
            theirs = pow(2, other, prime)
            expected = pow(theirs, own, prime).to_bytes(size // 8, "big")
            # KEY_SIZE of the session is the length of the secret that is wanted, from its start
            length = size if turn % 2 else 256
            got = await runs.derive(key, AGREE, dh_spki(prime, 2, theirs), KEY_SIZE=length)
            tally.check(got == expected[: length // 8], case)
    tally.settle(sessions=72)


@pytest.mark.asyncio
async def test_dh_peers_of_other_groups() -> None:
    """Public keys in the groups of NIST's files are refused."""
    tally = Tally("DH KASValidity, groups of the files")
    prime = dh.prime_of(2048)
    blob = header_form(DH, 2048, {"public": big(pow(2, 1 << 255, prime), 256), "private": big(1 << 255)})
    async with opened() as runs:
        key = await runs.key(DH, 2048, blob, AGREE, PAIR)
        for role in ("init", "resp"):
            for case in nist(KAS_DH.format(role), "result"):
                spki = dh_spki(*numbers(case, "p", "g", "ystatcavs"))
                code = await code_of(runs.derive(key, AGREE, spki))
                tally.refuse("HUKS has the groups of RFC 7919 alone (12000006)", code, 12000006, case=case)
    tally.settle()
    assert tally.refused.total() == 144


def test_other_dh_files_are_named() -> None:
    """The other DH vectors are of groups that HUKS does not have; a new file would be noticed."""
    tally = Tally("DH, other groups")
    for file, field in (("RFC5114", "z"), ("vec", "k"), ("bad_exchange", "y2"), ("rfc3526", "p")):
        tally.skip(
            "HUKS has the groups of RFC 7919 alone", len(list(nist(f"asymmetric/DH/{file}.txt", field)))
        )
    tally.settle()
    assert tally.skipped.total() >= 10


def test_curves_cover_the_file() -> None:
    """Every curve of HUKS is in the agreement tests."""
    assert set(SECTIONS.values()) == set(CURVES.values())
