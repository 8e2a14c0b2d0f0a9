"""PyCryptodome (`Crypto`), or the same under its other name (`Cryptodome`)."""

from importlib import import_module
from typing import Any

from benchmarks.metric import PeerMissing
from benchmarks.peers.raw import Call

NAME = "pycryptodome"


def _module(name: str) -> Any:
    for package in ("Crypto", "Cryptodome"):
        try:
            return import_module(f"{package}.{name}")
        except ImportError:
            continue
    raise PeerMissing("pycryptodome is not installed (extra: bench)")


def gcm(key: bytes, nonce: bytes, aad: bytes, data: bytes) -> Call:
    """AES-256-GCM; an object serves one message."""
    aes = _module("Cipher.AES")

    def call() -> object:
        cipher = aes.new(key, aes.MODE_GCM, nonce=nonce)
        cipher.update(aad)
        return cipher.encrypt_and_digest(data)

    return call


def ecdsa(data: bytes) -> Call:
    """ECDSA P-256 with SHA-256; key and signer kept."""
    sha256 = _module("Hash.SHA256")
    signer = _module("Signature.DSS").new(_module("PublicKey.ECC").generate(curve="P-256"), "fips-186-3")
    return lambda: signer.sign(sha256.new(data))


def rsa_sign(data: bytes) -> Call:
    """RSA-2048 with PKCS#1 v1.5 and SHA-256; key and signer kept."""
    sha256 = _module("Hash.SHA256")
    signer = _module("Signature.pkcs1_15").new(_module("PublicKey.RSA").generate(2048))
    return lambda: signer.sign(sha256.new(data))
