"""What the tests of asymmetric families share: specs, runs, vector files, OpenSSL's command line."""

import importlib.util
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from huks_async.crypto.family import Family, OperationSpec
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.operation import Operation
from huks_async.model.enums import HuksKeyAlg, HuksKeyDigest, HuksKeyPadding, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits

SIGN = HuksKeyPurpose.HUKS_KEY_PURPOSE_SIGN
VERIFY = HuksKeyPurpose.HUKS_KEY_PURPOSE_VERIFY
ENCRYPT = HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT
DECRYPT = HuksKeyPurpose.HUKS_KEY_PURPOSE_DECRYPT
AGREE = HuksKeyPurpose.HUKS_KEY_PURPOSE_AGREE

RSA = HuksKeyAlg.HUKS_ALG_RSA
ECC = HuksKeyAlg.HUKS_ALG_ECC
ECDH = HuksKeyAlg.HUKS_ALG_ECDH
DSA = HuksKeyAlg.HUKS_ALG_DSA
DH = HuksKeyAlg.HUKS_ALG_DH
X25519 = HuksKeyAlg.HUKS_ALG_X25519
ED25519 = HuksKeyAlg.HUKS_ALG_ED25519

NONE = HuksKeyDigest.HUKS_DIGEST_NONE
MD5 = HuksKeyDigest.HUKS_DIGEST_MD5
SHA1 = HuksKeyDigest.HUKS_DIGEST_SHA1
SHA224 = HuksKeyDigest.HUKS_DIGEST_SHA224
SHA256 = HuksKeyDigest.HUKS_DIGEST_SHA256
SHA384 = HuksKeyDigest.HUKS_DIGEST_SHA384
SHA512 = HuksKeyDigest.HUKS_DIGEST_SHA512
DIGESTS = {"SHA1": SHA1, "SHA224": SHA224, "SHA256": SHA256, "SHA384": SHA384, "SHA512": SHA512}

RAW = HuksKeyPadding.HUKS_PADDING_NONE
PKCS1 = HuksKeyPadding.HUKS_PADDING_PKCS1_V1_5
PSS = HuksKeyPadding.HUKS_PADDING_PSS
OAEP = HuksKeyPadding.HUKS_PADDING_OAEP

DEVICE = Limits(refuse_empty_collected=True)

_WYCHEPROOF = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "wycheproof"


def make_spec(
    purpose: int,
    material: KeyMaterial,
    *,
    algorithm: int | None = None,
    digest: int | None = None,
    padding: int | None = None,
    numbers: dict[int, int] | None = None,
    key_numbers: dict[int, int] | None = None,
    limits: Limits | None = None,
) -> OperationSpec:
    """A session's numbers over this key."""
    return OperationSpec(
        purpose=purpose,
        algorithm=material.algorithm if algorithm is None else algorithm,
        key_algorithm=material.algorithm,
        size=material.size,
        mode=None,
        padding=padding,
        digest=digest,
        numbers=numbers or {},
        limits=limits or Limits(),
        key_numbers=key_numbers or {},
    )


def start(family: Family, purpose: int, material: KeyMaterial, **numbers: Any) -> Operation:
    """A running operation."""
    return family.starter(make_spec(purpose, material, **numbers))(family.load(material), {})


def run(
    family: Family, purpose: int, material: KeyMaterial, *updates: bytes, last: bytes = b"", **numbers: Any
) -> bytes:
    """The result of a whole operation, whose updates give nothing."""
    operation = start(family, purpose, material, **numbers)
    for part in updates:
        assert operation.update(part) == b""
    return operation.finish(last)


def verifies(family: Family, material: KeyMaterial, message: bytes, signature: bytes, **numbers: Any) -> bool:
    """Whether a verification succeeds; refusals other than 'wrong' and 'wrong length' are failures of a test."""
    try:
        assert run(family, VERIFY, material, message, last=signature, **numbers) == b""
    except BusinessError as error:
        if error.code in (12000006, 12000003, 401):
            return False
        raise
    return True


def public_of(material: KeyMaterial) -> KeyMaterial:
    """The public half alone."""
    return KeyMaterial(material.algorithm, material.size, b"", material.public)


@contextmanager
def refused(code: int, part: str = "") -> Iterator[None]:
    """The block ends with a BusinessError of this code, whose message contains `part`."""
    with pytest.raises(BusinessError) as caught:
        yield
    assert caught.value.code == code, caught.value
    assert part in caught.value.message


def wycheproof(name: str) -> list[dict[str, Any]]:
    """The groups of a Wycheproof file."""
    path = _WYCHEPROOF / f"{name}_test.json"
    if not path.exists():
        pytest.skip(f"the Wycheproof file {path.name} is not here")
    groups: list[dict[str, Any]] = json.loads(path.read_text())["testGroups"]
    return groups


def nist(path: str) -> list[str]:
    """The lines of a vector file of the package cryptography-vectors."""
    package = importlib.util.find_spec("cryptography_vectors")
    if package is None or not package.submodule_search_locations:
        pytest.skip("cryptography-vectors is not installed")
    return (Path(package.submodule_search_locations[0]) / "asymmetric" / path).read_text().splitlines()


def records(path: str, last: str) -> Iterator[tuple[str, dict[str, str]]]:
    """(section, fields so far) at every field named `last` of a `name = value` file.

    Fields stay until they are given anew, as these files mean it.
    """
    section = ""
    fields: dict[str, str] = {}
    for line in nist(path):
        if line.startswith("["):
            section = line.strip("[] ")
        name, equals, value = (part.strip() for part in line.partition("="))
        if equals and not line.startswith(("[", "#")):
            fields[name] = value
            if name == last:
                yield section, dict(fields)


def labelled(path: str) -> Iterator[tuple[str, bytes]]:
    """(label, bytes) of a file whose hexadecimal lines follow a `# Label:` line."""
    label = ""
    digits = ""
    for line in [*nist(path), "# end"]:
        text = line.strip()
        if text.startswith("#"):
            if digits:
                yield label, bytes.fromhex(digits if len(digits) % 2 == 0 else "0" + digits)
                digits = ""
            if text.strip("#-= "):
                label = text.strip("#:- ").strip()
                if label.endswith(":") or "Example" in label:
                    yield label, b""
        elif text and label and all(letter in "0123456789abcdefABCDEF " for letter in text):
            digits += text.replace(" ", "")


def openssl(*arguments: str, given: bytes = b"", ok: bool = True) -> bytes:
    """What OpenSSL's command line writes."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("OpenSSL's command line is not installed")
    done = subprocess.run([program, *arguments], input=given, capture_output=True, check=False)
    assert (done.returncode == 0) == ok, done.stderr.decode()
    return done.stdout
