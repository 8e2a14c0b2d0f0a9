"""python-pkcs11 with SoftHSM2: the other way to use keys one must not see, in its usual one-shot form."""

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from benchmarks.metric import PeerMissing
from benchmarks.peers.raw import Call

NAME = "python-pkcs11 + SoftHSM2"
_LIBRARIES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
_PIN = "1234"


@cache
def _load() -> Any:
    """The library, with a new token in a folder that lives as long as the process, which can load it once only."""
    try:
        import pkcs11
    except ImportError:
        raise PeerMissing("python-pkcs11 is not installed (extra: bench)") from None
    library = next(filter(os.path.exists, _LIBRARIES), None)
    tool = shutil.which("softhsm2-util")
    if library is None or tool is None:
        raise PeerMissing("SoftHSM2 is not installed (Debian: softhsm2)")
    folder = tempfile.mkdtemp(prefix="huks-benchmark-token-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    configuration = os.path.join(folder, "softhsm2.conf")
    with open(configuration, "w") as file:
        file.write(f"directories.tokendir = {folder}\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = configuration
    subprocess.run(
        [tool, "--init-token", "--free", "--label", "benchmark", "--so-pin", _PIN, "--pin", _PIN],
        check=True,
        capture_output=True,
    )
    return pkcs11.lib(library).get_token(token_label="benchmark")


@contextmanager
def session() -> Iterator[Any]:
    """A logged-in session on the token."""
    with _load().open(user_pin=_PIN, rw=True) as opened:
        yield opened


def gcm(opened: Any, nonce: bytes, aad: bytes, data: bytes) -> Call:
    """AES-256-GCM with a kept session, key and parameter object."""
    import pkcs11

    key = opened.generate_key(pkcs11.KeyType.AES, 256)
    parameter = pkcs11.GCMParams(nonce, aad, 128)
    mechanism = pkcs11.Mechanism.AES_GCM
    return lambda: key.encrypt(data, mechanism=mechanism, mechanism_param=parameter)


def ecdsa(opened: Any, data: bytes) -> Call:
    """ECDSA P-256; SoftHSM2 has no mechanism that hashes as well, so the hash is made before."""
    import hashlib

    import pkcs11
    from pkcs11.util.ec import encode_named_curve_parameters

    parameters = opened.create_domain_parameters(
        pkcs11.KeyType.EC,
        {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")},
        local=True,
    )
    _, private = parameters.generate_keypair()
    mechanism = pkcs11.Mechanism.ECDSA
    return lambda: private.sign(hashlib.sha256(data).digest(), mechanism=mechanism)


def rsa_sign(opened: Any, data: bytes) -> Call:
    """RSA-2048 with PKCS#1 v1.5 and SHA-256."""
    import pkcs11

    _, private = opened.generate_keypair(pkcs11.KeyType.RSA, 2048)
    mechanism = pkcs11.Mechanism.SHA256_RSA_PKCS
    return lambda: private.sign(data, mechanism=mechanism)
