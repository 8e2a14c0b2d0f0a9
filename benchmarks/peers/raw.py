"""`cryptography`, called directly: the library that does the work under ours."""

import os
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Call = Callable[[], object]


def gcm_context(key: bytes, nonce: bytes, aad: bytes, data: bytes) -> Call:
    """AES-GCM with a new context for each message, what a multi-step API must build at some point.

    The key is kept. A `Cipher` belongs to one nonce, so each message has its own.
    """
    algorithm = algorithms.AES(key)

    def call() -> bytes:
        encryptor = Cipher(algorithm, modes.GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(aad)
        return encryptor.update(data) + encryptor.finalize() + encryptor.tag

    return call


def gcm_one_shot(key: bytes, nonce: bytes, aad: bytes, data: bytes) -> Call:
    """AES-GCM in one call of a kept object: no session, no parameters, nothing checked."""
    encrypt = AESGCM(key).encrypt
    return lambda: encrypt(nonce, data, aad)


def gcm_random_nonce(key: bytes, aad: bytes, data: bytes) -> Call:
    """The same with a fresh nonce for each message: the least that sealing takes."""
    encrypt, urandom = AESGCM(key).encrypt, os.urandom

    def call() -> bytes:
        nonce = urandom(12)
        return nonce + encrypt(nonce, data, aad)

    return call


def gcm_stream(key: bytes, nonce: bytes, segment: bytes, segments: int) -> None:
    """AES-GCM segment by segment with `update`."""
    encryptor = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
    for _ in range(segments):
        encryptor.update(segment)
    encryptor.finalize()


def cbc_stream(key: bytes, iv: bytes, segment: bytes, segments: int) -> None:
    """AES-CBC segment by segment with `update`."""
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    for _ in range(segments):
        encryptor.update(segment)
    encryptor.finalize()


def sm4_stream(key: bytes, iv: bytes, segment: bytes, segments: int) -> None:
    """SM4-CTR segment by segment with `update`."""
    encryptor = Cipher(algorithms.SM4(key), modes.CTR(iv)).encryptor()
    for _ in range(segments):
        encryptor.update(segment)
    encryptor.finalize()


def ecdsa(data: bytes) -> Call:
    """ECDSA on P-256 with SHA-256; key and algorithm objects kept."""
    key = ec.generate_private_key(ec.SECP256R1())
    algorithm = ec.ECDSA(hashes.SHA256())
    return lambda: key.sign(data, algorithm)


def rsa_sign(data: bytes) -> Call:
    """RSA-2048 with PKCS#1 v1.5 and SHA-256; key and algorithm objects kept."""
    key = rsa.generate_private_key(65537, 2048)
    scheme, digest = padding.PKCS1v15(), hashes.SHA256()
    return lambda: key.sign(data, scheme, digest)


def gcm_chunks(key: bytes, piece: bytes) -> Callable[[int], None]:
    """AES-GCM of so many chunks, each a message with a nonce that counts, by one kept object in one thread."""
    seal = AESGCM(key).encrypt

    def run(chunks: int) -> None:
        for number in range(chunks):
            seal(number.to_bytes(12, "big"), piece, None)

    return run
