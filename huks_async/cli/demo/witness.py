"""The independent checks: OpenSSL's command line where it is present, else `cryptography` called directly."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

_LIBRARY = "cryptography"
_COMMAND = "openssl command"
_BLOCK = 1024 * 1024
_SHA256 = hashes.SHA256()


@dataclass(frozen=True)
class Witness:
    """Somebody else's implementation. Each method says who did it."""

    program: str | None
    version: str

    @classmethod
    def find(cls) -> "Witness":
        """OpenSSL 3's command if there is one, else `cryptography` alone."""
        program = shutil.which("openssl")
        if program is not None:
            done = subprocess.run([program, "version"], capture_output=True, text=True, check=False)  # noqa: S603
            words = done.stdout.split()
            if done.returncode == 0 and words[:1] == ["OpenSSL"] and int(words[1].split(".")[0]) >= 3:
                return cls(program, " ".join(words[:2]))
        return cls(None, "")

    @property
    def name(self) -> str:
        """Who checks."""
        if self.program is None:
            return f"{_LIBRARY}, called directly (no OpenSSL 3 command on this machine)"
        return f"{self.version} on the command line; AES-GCM, which it has not, by {_LIBRARY}"

    def gcm_digest(self, key: bytes, nonce: bytes, file: Path) -> tuple[bytes, str]:
        """SHA-256 of the plaintext of a file of ciphertext and tag; b"" where the tag is wrong."""
        length = file.stat().st_size - 16
        digest = hashlib.sha256()
        with file.open("rb") as source:
            source.seek(length)
            tag = source.read()
            source.seek(0)
            decryptor = Cipher(algorithms.AES(key), modes.GCM(nonce, tag)).decryptor()
            while length:
                block = source.read(min(_BLOCK, length))
                length -= len(block)
                digest.update(decryptor.update(block))
        try:
            digest.update(decryptor.finalize())
        except InvalidTag:
            return b"", _LIBRARY
        return digest.digest(), _LIBRARY

    def ctr_digest(self, key: bytes, iv: bytes, file: Path) -> tuple[bytes, str]:
        """SHA-256 of the plaintext of a file of AES-256-CTR ciphertext."""
        digest = hashlib.sha256()
        if self.program is None:
            decryptor = Cipher(algorithms.AES(key), modes.CTR(iv)).decryptor()
            for block in _blocks(file):
                digest.update(decryptor.update(block))
            return digest.digest(), _LIBRARY
        # the key is this demo's own and ends with it, so it may stand in a list of processes
        words = ["enc", "-d", "-aes-256-ctr", "-K", key.hex(), "-iv", iv.hex(), "-in", str(file)]
        with subprocess.Popen([self.program, *words], stdout=subprocess.PIPE) as process:  # noqa: S603
            assert process.stdout is not None
            while block := process.stdout.read(_BLOCK):
                digest.update(block)
        return (digest.digest() if process.returncode == 0 else b""), f"{_COMMAND}: enc"

    def verifies(self, public_pem: Path, signature: Path, file: Path, *, pss: bool) -> tuple[bool, str]:
        """Whether a signature over SHA-256 of a file is good."""
        if self.program is None:
            return _verifies(public_pem.read_bytes(), signature.read_bytes(), file), _LIBRARY
        extra = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_mgf1_md:sha256"] if pss else []
        words = [
            "dgst",
            "-sha256",
            *extra,
            "-verify",
            str(public_pem),
            "-signature",
            str(signature),
            str(file.absolute()),  # a name that begins with a hyphen would be an option
        ]
        return self._run(*words)[0] == 0, f"{_COMMAND}: dgst -verify"

    def make_peer(self, kind: str, private_pem: Path) -> bytes:
        """A new key pair of somebody else: the private half into a file, the public half (DER) as result."""
        if self.program is None:
            return _make_peer(kind, private_pem)
        words = (
            ["-algorithm", "X25519"]
            if kind == "X25519"
            else ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        )
        self._must("genpkey", *words, "-out", str(private_pem))
        return self._must("pkey", "-in", str(private_pem), "-pubout", "-outform", "DER")

    def agree(self, private_pem: Path, public_pem: Path) -> tuple[bytes, str]:
        """The secret that the other side gets."""
        if self.program is None:
            return _agree(private_pem.read_bytes(), public_pem.read_bytes()), _LIBRARY
        words = ["pkeyutl", "-derive", "-inkey", str(private_pem), "-peerkey", str(public_pem)]
        return self._run(*words)[1], f"{_COMMAND}: pkeyutl -derive"

    def hkdf(self, key: bytes, salt: bytes, info: bytes, length: int) -> tuple[bytes, str]:
        """HKDF with SHA-256."""
        if self.program is None:
            return HKDF(_SHA256, length, salt, info).derive(key), _LIBRARY
        return self._kdf(
            "HKDF", length, f"hexkey:{key.hex()}", f"hexsalt:{salt.hex()}", f"hexinfo:{info.hex()}"
        )

    def pbkdf2(self, key: bytes, salt: bytes, iterations: int, length: int) -> tuple[bytes, str]:
        """PBKDF2 with HMAC-SHA-256."""
        if self.program is None:
            return PBKDF2HMAC(_SHA256, length, salt, iterations).derive(key), _LIBRARY
        return self._kdf(
            "PBKDF2", length, f"hexpass:{key.hex()}", f"hexsalt:{salt.hex()}", f"iter:{iterations}"
        )

    def _kdf(self, name: str, length: int, *choices: str) -> tuple[bytes, str]:
        words = [word for choice in ("digest:SHA256", *choices) for word in ("-kdfopt", choice)]
        output = self._run("kdf", "-binary", "-keylen", str(length), *words, name)[1]
        return output, f"{_COMMAND}: kdf {name}"

    def _run(self, *words: str) -> tuple[int, bytes]:
        assert self.program is not None
        done = subprocess.run([self.program, *words], capture_output=True, check=False)  # noqa: S603
        return done.returncode, done.stdout if done.returncode == 0 else b""

    def _must(self, *words: str) -> bytes:
        code, output = self._run(*words)
        if code != 0:
            raise OSError(f"openssl {words[0]} ended with code {code}")
        return output


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while block := source.read(_BLOCK):
            yield block


def _verifies(public_pem: bytes, signature: bytes, file: Path) -> bool:
    state = hashes.Hash(_SHA256)
    for block in _blocks(file):
        state.update(block)
    value, form = state.finalize(), utils.Prehashed(_SHA256)
    key = serialization.load_pem_public_key(public_pem)
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, value, ec.ECDSA(form))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, value, padding.PSS(padding.MGF1(_SHA256), padding.PSS.AUTO), form)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _make_peer(kind: str, private_pem: Path) -> bytes:
    key = x25519.X25519PrivateKey.generate() if kind == "X25519" else ec.generate_private_key(ec.SECP256R1())
    private_pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _agree(private_pem: bytes, public_pem: bytes) -> bytes:
    private = serialization.load_pem_private_key(private_pem, None)
    public = serialization.load_pem_public_key(public_pem)
    if isinstance(private, x25519.X25519PrivateKey) and isinstance(public, x25519.X25519PublicKey):
        return private.exchange(public)
    if isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(public, ec.EllipticCurvePublicKey):
        return private.exchange(ec.ECDH(), public)
    return b""
