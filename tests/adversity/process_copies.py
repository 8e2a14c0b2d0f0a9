"""Copies of one process, made by a bare `fork(2)`, tell what they make: `python -m tests.adversity.process_copies COUNT SLOW`.

The C library's `fork`, unlike `os.fork`, runs none of Python's handlers, so nothing in the interpreter
knows that it was copied. Everything that makes random values is used once before, so that its state is warm.
Each copy then prints lines of a kind and a value in hexadecimal; no two values of a kind may be equal.
"""

import asyncio
import hashlib
import os
import sys
import time
import traceback

import huks_async as huks
from huks_async.crypto import engine
from huks_async.crypto.asymmetric import elliptic, rsa, rsa_cipher
from huks_async.crypto.asymmetric.rsa_oaep_md5 import Md5Oaep
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.libcrypto.search import LEGACY, libcrypto_for
from huks_async.crypto.operation import Operation
from huks_async.crypto.postquantum import mlkem
from huks_async.crypto.sm2 import sm2
from huks_async.keys.items.item import encode_params
from huks_async.keys.items.sealing import Sealer
from huks_async.keys.wrapping import wrapped
from huks_async.model.enums import HuksKeyAlg as Alg
from huks_async.model.limits import Limits
from huks_async.model.params import ParamSet
from huks_async.sessions.spool import Spool
from huks_async.sessions.table import SessionTable
from huks_async.stores import ItemName
from tests.adversity.bare_fork import bare_fork

_KEY = KeyMaterial(Alg.HUKS_ALG_AES, 256, bytes(32))

QUICK = {
    "AES": (Alg.HUKS_ALG_AES, 256),
    "HMAC": (Alg.HUKS_ALG_HMAC, 256),
    "3DES": (Alg.HUKS_ALG_3DES, 192),
    "ECC": (Alg.HUKS_ALG_ECC, 256),
    "X25519": (Alg.HUKS_ALG_X25519, 256),
    "Ed25519": (Alg.HUKS_ALG_ED25519, 256),
    "SM2": (Alg.HUKS_ALG_SM2, 256),
    "ML-KEM": (Alg.HUKS_ALG_ML_KEM, 768),
    "ML-DSA": (Alg.HUKS_ALG_ML_DSA, 44),
    "DH": (Alg.HUKS_ALG_DH, 2048),
}
SLOW = {"RSA": (Alg.HUKS_ALG_RSA, 1024), "RSA 512": (Alg.HUKS_ALG_RSA, 512)}

_TAG = huks.HuksTag
_GCM = {
    _TAG.HUKS_TAG_ALGORITHM: Alg.HUKS_ALG_AES,
    _TAG.HUKS_TAG_KEY_SIZE: 256,
    _TAG.HUKS_TAG_PURPOSE: huks.HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT,
    _TAG.HUKS_TAG_BLOCK_MODE: huks.HuksCipherMode.HUKS_MODE_GCM,
    _TAG.HUKS_TAG_PADDING: huks.HuksKeyPadding.HUKS_PADDING_NONE,
}


def _options(properties: dict[int, int]) -> huks.HuksOptions:
    return huks.HuksOptions(properties=[huks.HuksParam(tag, value) for tag, value in properties.items()])


class Copies:
    """What is made before the copies, and by each of them."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        self.table = SessionTable(Limits(), time.monotonic)
        self.sealer = Sealer(bytes(32))
        self.rsa = rsa.load(engine.generate(Alg.HUKS_ALG_RSA, 1024))
        self.ecc = elliptic.load(engine.generate(Alg.HUKS_ALG_ECC, 256))
        self.sm2 = sm2.load(engine.generate(Alg.HUKS_ALG_SM2, 256))
        self.kem = mlkem.load(engine.generate(Alg.HUKS_ALG_ML_KEM, 768))
        self.x25519 = engine.generate(Alg.HUKS_ALG_X25519, 256)
        self.p256 = engine.generate(Alg.HUKS_ALG_ECC, 256)
        self.oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        self.pkcs1 = padding.PKCS1v15()
        self.oaep_md5 = Md5Oaep(hashes.MD5(), hashes.MD5())

    def make(self, salt: bytes, *, slow: bool) -> list[tuple[str, bytes]]:
        """One value of each kind. `salt` differs from copy to copy."""
        made = [
            (name, _secret(engine.generate(*kind))) for name, kind in (QUICK | (SLOW if slow else {})).items()
        ]
        made.append(("encapsulated", mlkem.encapsulate(self.kem)[1]))
        for name, scheme in (("OAEP", self.oaep), ("PKCS1", self.pkcs1), ("OAEP MD5", self.oaep_md5)):
            made.append((name, rsa_cipher._encrypt(self.rsa, scheme, b"the same")))
        made.append(("SM2 encryption", sm2.encrypt(self.sm2, b"the same")))
        made.append(("SM2 signature", self.sm2.backend.sign(self.sm2.handle, bytes(32))))
        # of different messages, so that an equal r shows an equal nonce, which gives the key away
        made.append(("ECDSA r", _ecdsa_r(self.ecc.private, salt)))
        made.append(("wrapped 1", wrapped.pack_wrapped(1, b"k", self.x25519.public)[4:36]))
        made.append(("wrapped 2", wrapped.pack_wrapped(2, b"k", self.p256.public)[4:95]))
        made.append(("prime", _prime()))
        made.append(("spool", Spool(None)._encryptor.update(bytes(16))))  # type: ignore[arg-type]
        made += [("handle", self.table.open("app", Operation()).handle.to_bytes(8, "big")) for _ in range(3)]
        # all copies seal the same, so nothing but the seal's own randomness tells two of them apart
        made.append(
            ("sealed row", self.sealer.seal(ItemName("app", 1, "key"), encode_params(ParamSet()), _KEY))
        )
        made += asyncio.new_event_loop().run_until_complete(self._nonces())
        return made

    async def _nonces(self) -> list[tuple[str, bytes]]:
        # a copy refuses the keystore of the process that it was copied from, where it notices that
        made = []
        async with huks.Keystore.open("memory:", monitor=False) as keystore:
            await keystore.generateKeyItem("key", _options(_GCM))
            for _ in range(3):
                session = await keystore.initSession("key", _options(_GCM))
                out = (await keystore.finishSession(session.handle, huks.HuksOptions(inData=b""))).outData
                made.append(("GCM nonce", out[-12:]))
        return made


def _secret(material: KeyMaterial) -> bytes:
    return hashlib.sha256(material.secret).digest()


def _ecdsa_r(private, message: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256

    return decode_dss_signature(private.sign(message, ec.ECDSA(SHA256())))[0].to_bytes(32, "big")


def _prime() -> bytes:
    from huks_async.crypto.libcrypto.generation import prime

    return prime(libcrypto_for("DSA", LEGACY), 160).to_bytes(20, "big")


def main(count: int, slow: int) -> None:
    """Make `count` copies, the first `slow` of which make the kinds that take long, too."""
    import warnings

    warnings.simplefilter("ignore")
    copies = Copies()
    copies.make(b"before", slow=True)
    for number in range(count):
        child = bare_fork()
        if not child:
            try:
                made = copies.make(number.to_bytes(4, "big"), slow=number < slow)
                # what it takes for its process id shows whether the test is the test that it means to be
                lines = [f"{name.replace(' ', '_')} {value.hex()}" for name, value in made]
                lines.append(f"pid {os.getpid():x}.{number}")
                os.write(1, ("\n".join(lines) + "\n").encode())
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            sys.exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
