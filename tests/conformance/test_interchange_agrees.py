"""Signatures and SM2 ciphertexts in raw forms: OpenSSL, pycryptodome, gmssl and gmalg read and write the same."""

import pytest

from tests.conformance.interchange_peers import (
    ORDERS,
    compare_signatures,
    compare_sm2_from_raw,
    compare_sm2_to_raw,
)


@pytest.mark.parametrize(("algorithm", "size"), ORDERS)
def test_signatures(algorithm: int, size: int | None) -> None:
    """Every pair of numbers has the same bytes, leading zeros among them."""
    seen = compare_signatures(algorithm, size, 400)
    assert seen["zero before r"] > 20
    assert seen["zero before s"] > 20


def test_sm2_ciphertexts_of_openssl_in_every_raw_form() -> None:
    """What was made as DER is decrypted in both orders, with the 04 and without."""
    assert compare_sm2_to_raw(60)["values"] == 60


def test_sm2_ciphertexts_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was made raw, in both orders, and with whole, hybrid and compressed points, is decrypted as DER."""
    assert compare_sm2_from_raw(100, monkeypatch.setattr)["values"] == 100
