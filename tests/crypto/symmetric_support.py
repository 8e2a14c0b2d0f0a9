"""What the tests of symmetric algorithms share: specs, runs by segments, NIST files."""

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cryptography_vectors
import pytest

from huks_async.crypto.family import OperationSpec
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.operation import Operation
from huks_async.model.enums import HuksKeyAlg, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits

ENCRYPT = HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT
DECRYPT = HuksKeyPurpose.HUKS_KEY_PURPOSE_DECRYPT

NIST = Path(cryptography_vectors.__file__).parent
_WYCHEPROOF = Path(__file__).parents[3] / "shared" / "vectors" / "wycheproof"


def spec(
    purpose: int,
    algorithm: int = HuksKeyAlg.HUKS_ALG_AES,
    *,
    mode: int | None = None,
    padding: int | None = None,
    digest: int | None = None,
    size: int = 256,
    numbers: dict[int, int] | None = None,
    limits: Limits | None = None,
) -> OperationSpec:
    """A spec whose key has the algorithm of the session."""
    return OperationSpec(
        purpose=int(purpose),
        algorithm=int(algorithm),
        key_algorithm=int(algorithm),
        size=size,
        mode=mode,
        padding=padding,
        digest=digest,
        numbers=numbers or {},
        limits=limits or Limits(),
        key_numbers={},
    )


def start(
    family: ModuleType, wanted: OperationSpec, secret: bytes, blobs: dict[int, bytes] | None = None
) -> Operation:
    """A running operation over raw key bytes."""
    ready = family.load(KeyMaterial(wanted.key_algorithm, wanted.size, secret))
    return family.starter(wanted)(ready, blobs or {})


def feed(operation: Operation, segments: Iterable[bytes]) -> bytes:
    """All output of an operation: every segment but the last by `update`, the last by `finish`."""
    *first, last = segments
    return b"".join([*(operation.update(each) for each in first), operation.finish(last)])


def cuts(data: bytes, places: Iterable[int]) -> list[bytes]:
    """`data` cut at the given places, which may repeat and lie beyond the end."""
    ordered = sorted(min(place, len(data)) for place in places)
    edges = [0, *ordered, len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def refused(code: int, action: Callable[[], Any]) -> BusinessError:
    """The error of a call that must fail with `code`."""
    with pytest.raises(BusinessError) as caught:
        action()
    assert caught.value.code == code, str(caught.value)
    return caught.value


def records(path: str, output: str) -> list[dict[str, str]]:
    """The cases of a NIST response file: fields by lower-case name.

    A paragraph with the field `output` is a case; what other paragraphs and brackets say holds for
    the cases below. `section` is the last word in brackets, `failed` marks a case that must not verify.
    """
    shared: dict[str, str] = {}
    cases = []
    for paragraph in (NIST / path).read_text().split("\n\n"):
        fields: dict[str, str] = {}
        for raw in paragraph.splitlines():
            line = raw.partition("#")[0].strip()
            for part in line.strip("[]").split(","):
                name, equals, value = (each.strip() for each in part.partition("="))
                target = shared if line.startswith("[") else fields
                if equals:
                    target[name.lower()] = value
                elif name == "FAIL":
                    fields["failed"] = name
                elif name:
                    shared["section"] = name.lower()
        if output in fields:
            cases.append(shared | fields)
        else:
            shared |= fields
    assert cases, f"{path} has no case with {output}"
    return cases


def wycheproof(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Group and case of every Wycheproof case of a file; skips the test where the files are not here."""
    path = _WYCHEPROOF / f"{name}_test.json"
    if not path.is_file():
        pytest.skip(f"Wycheproof's {path.name} is not beside the project")
    for group in json.loads(path.read_text())["testGroups"]:
        for case in group["tests"]:
            yield group, case


def openssl(*arguments: str, stdin: bytes) -> bytes:
    """What OpenSSL's command line gives; skips the test where it or the algorithm is not there."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("the openssl command line is not installed")
    done = subprocess.run([program, *arguments], input=stdin, capture_output=True, check=False)
    said = done.stderr.decode(errors="replace")[:200]
    if done.returncode and re.search("unknown|unsupported|unrecognized", said, re.IGNORECASE):
        pytest.skip(f"this openssl has not the algorithm: {said}")
    assert done.returncode == 0, said
    return done.stdout
