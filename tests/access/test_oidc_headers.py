"""ID tokens as issuers write them: headers with parameters of their own, long ones, long signatures."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPrivateNumbers, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from huks_async import Keystore
from tests.access.test_oidc import CHALLENGE, Issuer, RSAKey, issuer, keys, refusal

__all__ = ["issuer", "keys"]

pytestmark = pytest.mark.asyncio


def signed(key: RSAPrivateKey, body: str, **header: Any) -> str:
    """A token with any header, signed by other code than the library's."""
    head = base64.urlsafe_b64encode(json.dumps({"alg": "RS256", "kid": "rsa", **header}).encode())
    text = f"{head.rstrip(b'=').decode()}.{body}"
    end = base64.urlsafe_b64encode(key.sign(text.encode(), PKCS1v15(), SHA256()))
    return f"{text}.{end.rstrip(b'=').decode()}"


async def test_headers_with_parameters_that_are_not_known(issuer: Issuer) -> None:
    """Ignored, whatever their length, unless the header says that they are critical (RFC 7515, sections 4 and 4.1.11)."""
    oidc = issuer.authenticator()
    key = issuer.keys[0].private_key
    async with Keystore.open("memory:", authenticator=oidc, monitor=False) as keystore:
        await oidc.enroll(keystore, 100, "ana")
        body = issuer.token().split(".")[1]
        for header in (
            {"crit": ["ver"], "ver": "2"},
            {"crit": ["ver"]},
            {"crit": ["kid", "ver"], "ver": "2"},
            {"crit": "ver", "ver": "2"},
            {"crit": 7},
            {"crit": None},
            {"crit": [[]]},
            {"crit": []},
            {"crit": ["kid"]},
            {"crit": ["b64"], "b64": False},
        ):
            assert (await refusal(keystore, signed(key, body, **header)), header) == ("crit", header)
        assert await refusal(keystore, signed(key, body, b64=False)) == "signature"
        # claims that are not encoded, with no point in them; JWTs are always encoded (RFC 7797, section 7)
        plain = base64.urlsafe_b64decode(body + "==").decode().replace(".", "\\u002e")
        assert await refusal(keystore, signed(key, plain, crit=["b64"], b64=False)) == "crit"
        taken = [{"ver": "2", "org": {"id": [None]}}, {"x5c": ["A" * 3000]}, {"nonce": "x" * 10_000}]
        for number, header in enumerate(taken):
            challenge = bytes([number] * 32)
            body = issuer.token(nonce=oidc.nonce(challenge)).split(".")[1]
            await keystore.authenticate(challenge, signed(key, body, **header))


async def test_a_long_signature(issuer: Issuer) -> None:
    """Of a key of 7,470 bits, made of two primes that need no search: those of Mersenne."""
    p, q = 2**4253 - 1, 2**3217 - 1
    d = pow(65537, -1, (p - 1) * (q - 1))
    public = RSAPublicNumbers(65537, p * q)
    numbers = RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    key = numbers.private_key(unsafe_skip_rsa_key_validation=True)
    oidc = issuer.authenticator()
    body = issuer.token().split(".")[1]
    named = public.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    issuer.keys = [RSAKey.import_key(named, {"kid": "rsa"})]
    async with Keystore.open("memory:", authenticator=oidc, monitor=False) as keystore:
        await oidc.enroll(keystore, 100, "ana")
        await keystore.authenticate(CHALLENGE, signed(key, body))
