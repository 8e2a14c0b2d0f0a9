"""`signature_from_raw` and `signature_to_raw`: round trips, real signatures, and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest
from Cryptodome.Hash import SHA256
from Cryptodome.PublicKey.DSA import import_key as import_dsa
from Cryptodome.PublicKey.ECC import import_key as import_ecc
from Cryptodome.Signature import DSS
from hypothesis import given
from hypothesis import strategies as st

from huks_async import BusinessError, HuksKeyAlg, Keystore, signature_from_raw, signature_to_raw
from tests.conformance.interchange_peers import ORDERS
from tests.interchange.support import refused, verify
from tests.keystore.support import SIGN, VERIFY, key, options, run

ECC, DSA, SM2 = HuksKeyAlg.HUKS_ALG_ECC, HuksKeyAlg.HUKS_ALG_DSA, HuksKeyAlg.HUKS_ALG_SM2
WIDTHS = {(ECC, 224): 28, (ECC, 256): 32, (ECC, 384): 48, (ECC, 521): 66, (SM2, None): 32, (SM2, 256): 32}
WIDTHS |= {(DSA, 160): 20, (DSA, 224): 28, (DSA, 256): 32}


@given(st.data(), st.sampled_from(list(ORDERS)))
def test_there_and_back(data: st.DataObject, group: tuple[int, int | None]) -> None:
    """Numbers of every length survive both ways, and DER is never longer than it must be."""
    order, width = ORDERS[group], WIDTHS[group]
    bits = st.integers(1, order.bit_length()).flatmap(lambda n: st.integers(1, min(order - 1, 2**n)))
    r, s = data.draw(bits), data.draw(bits)
    raw = r.to_bytes(width, "big") + s.to_bytes(width, "big")
    der = signature_from_raw(raw, *group)
    assert signature_to_raw(der, *group) == raw
    assert len(der) <= 2 * width + 9


@pytest.mark.filterwarnings("ignore::huks_async.HuksLegacyWarning")  # DSA, and SHA-1 in a mask
@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("algorithm", "size", "group", "load"),
    [
        (ECC, 224, 224, import_ecc),
        (ECC, 256, 256, import_ecc),
        (ECC, 384, 384, import_ecc),
        (ECC, 521, 521, import_ecc),
        (DSA, 1024, 160, import_dsa),
    ],
)
async def test_real_signatures_are_verified_by_others(
    algorithm: int, size: int, group: int, load: Callable[[bytes], Any]
) -> None:
    """What the keystore signs is verified as r ‖ s by pycryptodome."""
    message = b"a message for both"
    async with Keystore.open("memory:", monitor=False) as keystore:
        await keystore.generateKeyItem("key", options(**key(algorithm, size, SIGN | VERIFY, DIGEST=12)))
        public = load((await keystore.exportKeyItem("key", options())).outData)
        for _ in range(8):
            der = await run(keystore, "key", message, **key(algorithm, size, SIGN, DIGEST=12))
            raw = signature_to_raw(der, algorithm, group)
            DSS.new(public, "fips-186-3", encoding="binary").verify(SHA256.new(message), raw)
            assert signature_from_raw(raw, algorithm, group) == der
            await verify(keystore, "key", message, der, **key(algorithm, size, VERIFY, DIGEST=12))


R_S = bytes(31) + b"\1" + bytes(30) + b"\2\3"
DER = bytes.fromhex("3007 020101 02020203")


def test_known_bytes() -> None:
    """Leading zeros go and come."""
    assert signature_from_raw(R_S, ECC, 256) == DER
    assert signature_to_raw(DER, ECC, 256) == R_S
    assert signature_to_raw(DER, ECC, 521) == bytes(65) + b"\1" + bytes(64) + b"\2\3"
    high = b"\x80" + bytes(31) + b"\x7f" + bytes(31)
    assert (
        signature_from_raw(high, SM2).hex()
        == "3045" + "022100" + "80" + "00" * 31 + "0220" + "7f" + "00" * 31
    )


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "has 64 bytes"),
        (R_S[1:], "got 63"),
        (R_S + b"\0", "got 65"),
        (DER, "DER already"),
        (R_S.hex().encode(), "bytes.fromhex"),
        (bytes(64), "r of the signature is zero"),
        (R_S[:32] + bytes(32), "s of the signature is zero"),
        (b"\xff" * 64, "r of the signature is not below the order"),
        (R_S[:32] + ORDERS[ECC, 256].to_bytes(32, "big"), "s of the signature is not below the order"),
    ],
)
def test_what_is_no_raw_signature(raw: bytes, said: str) -> None:
    """401, with what was got and what is accepted."""
    assert said in refused(401, lambda: signature_from_raw(raw, ECC, 256))


@pytest.mark.parametrize(
    ("der", "said"),
    [
        (b"", "no signature in DER"),
        (R_S, "as long as r ‖ s"),
        (DER.hex().encode(), "bytes.fromhex"),
        (DER + b"\0", "nothing after it"),
        (DER[:-1], "no signature in DER"),
        (bytes.fromhex("308107 020101 02020203"), "shortest form"),
        (bytes.fromhex("3008 02020001 02020203"), "shortest form"),
        (bytes.fromhex("3006 020101 0201ff"), "no signature in DER"),
        (bytes.fromhex("3006 020101 020100"), "s of the signature is zero"),
        (bytes.fromhex("3009 020101 020101 020101"), "no signature in DER"),
        (bytes.fromhex("3026 020101 0221 01") + bytes(32), "s of the signature is not below the order"),
        (bytes.fromhex("3180 020101 020101 0000"), "no signature in DER"),
    ],
)
def test_what_is_no_der_signature(der: bytes, said: str) -> None:
    """401 for everything but strict DER of numbers that the group has."""
    assert said in refused(401, lambda: signature_to_raw(der, ECC, 256))


@pytest.mark.parametrize(
    ("algorithm", "size", "said"),
    [
        (ECC, None, "224, 256, 384 or 521"),
        (ECC, 255, "224, 256, 384 or 521"),
        (ECC, "256", "224, 256, 384 or 521"),
        (ECC, [256], "224, 256, 384 or 521"),
        (DSA, 2048, "not the size of the key"),
        (DSA, None, "160, 224 or 256"),
        (SM2, 384, "size 256"),
        (HuksKeyAlg.HUKS_ALG_RSA, 2048, "one form"),
        (HuksKeyAlg.HUKS_ALG_ED25519, None, "one form"),
        (None, None, "HUKS_ALG_ECC"),
        ("ECDSA", 256, "HUKS_ALG_ECC"),
        (float(ECC), 256, "HUKS_ALG_ECC"),
        (float(SM2), None, "HUKS_ALG_ECC"),
    ],
)
def test_other_algorithms_and_sizes(algorithm: Any, size: Any, said: str) -> None:
    """12000003, with what is accepted."""
    calls: tuple[Callable[..., bytes], ...] = (signature_from_raw, signature_to_raw)
    for convert in calls:
        assert said in refused(12000003, lambda convert=convert: convert(DER, algorithm, size))


@given(st.binary(max_size=140), st.sampled_from(list(WIDTHS)))
def test_any_bytes(data: bytes, group: tuple[int, int | None]) -> None:
    """Whatever comes is converted or refused with 401; what is converted comes back as it was."""
    for there, back in ((signature_from_raw, signature_to_raw), (signature_to_raw, signature_from_raw)):
        try:
            other = there(data, *group)
        except BusinessError as error:
            assert error.code == 401
        else:
            assert back(other, *group) == data
