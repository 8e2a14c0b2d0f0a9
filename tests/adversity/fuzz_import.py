"""Throw malformed keys at every parser of imports: `python tests/adversity/fuzz_import.py 1000000`.

Parsers are those of headers, DER, PEM, JWK, SM2 ciphertexts and containers of wrapped keys.
Prints how many inputs were tried, how they ended, what else than a BusinessError came out (which must
be nothing) and how much memory grew. Ends with status 1 if anything else came out, or if memory grew
by more than a few megabytes.
"""

import argparse
import collections
import json
import os
import random
import struct
import sys
import time
from collections.abc import Callable

from huks_async.crypto.asymmetric import curve25519, elliptic
from huks_async.crypto.asymmetric.agreement import load_peer
from huks_async.crypto.key_material import KeyMaterial
from huks_async.crypto.postquantum import mldsa, mlkem
from huks_async.crypto.sm2 import sm2
from huks_async.crypto.sm2.encoding import parse_ciphertext, point_from_spki
from huks_async.keys.forms.convert import (
    from_layout,
    from_pem,
    from_pkcs8,
    from_spki,
    to_layout,
    to_pem,
    to_pkcs8,
    to_spki,
)
from huks_async.keys.forms.importing import material_from_import
from huks_async.keys.forms.jwk import from_jwk, to_jwk
from huks_async.keys.forms.layouts import LAYOUTS, unpack
from huks_async.keys.wrapping.envelope import pack_envelope
from huks_async.keys.wrapping.wrapped import SM2_SM4_ECB, open_wrapped, pack_wrapped, split_container
from huks_async.model.enums import HuksKeyAlg
from huks_async.model.errors import BusinessError
from huks_async.model.params import ParamSet
from huks_async.model.tags import HuksTag

WARM_UP = 20_000
MAX_GROWTH = 8 * 1024 * 1024

_TAGS = (HuksTag.HUKS_TAG_ALGORITHM, HuksTag.HUKS_TAG_KEY_SIZE, HuksTag.HUKS_TAG_IMPORT_KEY_TYPE)
_SIZES = (0, 44, 128, 256, 521, 768, 1024, 2048, 4096, 2**32 - 1)
_WORDS = (0, 1, 2, 3, 20, 31, 32, 33, 255, 256, 257, 2048, 4096, 10_000, 2**16, 2**31, 2**32 - 1)


def resident_bytes() -> int:
    """Memory of this process that is in use now."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _postquantum() -> list[KeyMaterial]:
    return [
        mldsa.generate(HuksKeyAlg.HUKS_ALG_ML_DSA, 44),
        mlkem.generate(HuksKeyAlg.HUKS_ALG_ML_KEM, 768),
    ]


def _sm2() -> KeyMaterial | None:
    try:
        return sm2.generate(HuksKeyAlg.HUKS_ALG_SM2, 256)
    except BusinessError as error:
        print(f"without SM2: {error.message}")
        return None


class Inputs:
    """Makes malformed keys: random bytes, lying headers, and real keys that were damaged."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        curve = elliptic.generate(HuksKeyAlg.HUKS_ALG_ECC, 256)
        montgomery = curve25519.generate(HuksKeyAlg.HUKS_ALG_X25519, 256)
        keys = [curve, montgomery, *_postquantum()]
        self._noise = self._random.randbytes(1 << 16)
        self.wrapping = {1: montgomery, 2: curve}
        chinese = _sm2()
        if chinese is not None:
            keys.append(chinese)
            self.wrapping[SM2_SM4_ECB] = chinese
        self.containers = {
            suite: (
                pack_envelope(bytes(16), key.public)
                if suite == SM2_SM4_ECB
                else pack_wrapped(suite, bytes(32), key.public)
            )
            for suite, key in self.wrapping.items()
        }
        self.headers = [to_layout(curve), to_layout(montgomery)]
        self.ders = [convert(key) for key in keys for convert in (to_spki, to_pkcs8)]
        self.pems = [to_pem(key, private=private).encode() for key in keys for private in (False, True)]
        self.jwks = [to_jwk(key, private=True) for key in (curve, montgomery)]
        algorithms = [*LAYOUTS, HuksKeyAlg.HUKS_ALG_AES, HuksKeyAlg.HUKS_ALG_DES, 0, 999]
        self.sets = [
            ParamSet(
                {
                    tag: value
                    for tag, value in zip(_TAGS, (algorithm, size, kind), strict=True)
                    if value is not None
                }
            )
            for algorithm in algorithms
            for size in _SIZES
            for kind in (None, 0, 1, 2, 3)
        ]

    def noise(self) -> bytes:
        """Random bytes, most of them few."""
        start = self._random.randrange(1 << 15)
        return self._noise[start : start + self._random.choice((0, 1, 7, 8, 19, 20, 32, 64, 300, 2049))]

    def lying_header(self) -> bytes:
        """A header with an algorithm that exists and lengths that need not be true."""
        pick = self._random.choice
        words = (pick(tuple(LAYOUTS)), pick(_SIZES), pick(_WORDS), pick(_WORDS), pick(_WORDS))
        return struct.pack("<5I", *words) + self.noise()

    def damaged(self, blob: bytes) -> bytes:
        """A real key that was cut, padded, or had a few bytes replaced."""
        at = self._random.randrange(len(blob))
        kind = self._random.randrange(4)
        if kind == 0:
            return blob[:at]
        if kind == 1:
            return blob[:at] + self.noise() + blob[at:]
        return blob[:at] + self._noise[at : at + kind] + blob[at + kind :]

    def calls(self) -> list[Callable[[], object]]:
        """What to throw at what; repeated entries are tried more often, the costly ones less."""
        pick = self._random.choice
        quick: list[Callable[[], object]] = [
            lambda: unpack(self.noise()),
            lambda: unpack(self.lying_header()),
            lambda: unpack(self.damaged(pick(self.headers))),
            lambda: material_from_import(pick(self.sets), self.noise()),
            lambda: material_from_import(pick(self.sets), self.lying_header()),
            lambda: material_from_import(pick(self.sets), self.damaged(pick(self.headers))),
            lambda: split_container(pick((1, 2, 5)), self.noise()),
            lambda: split_container(2, self.damaged(self.containers[2])),
            lambda: from_layout(self.damaged(pick(self.headers))),
            lambda: from_jwk(self.noise()),
            lambda: self._plain(parse_ciphertext, self.noise()),
            lambda: self._plain(point_from_spki, self.damaged(pick(self.ders))),
        ]
        costly: list[Callable[[], object]] = [
            lambda: from_spki(self.damaged(pick(self.ders))),
            lambda: from_pkcs8(self.damaged(pick(self.ders))),
            lambda: load_peer(self.damaged(pick(self.ders))),
            lambda: from_pem(self.damaged(pick(self.pems))),
            lambda: from_jwk(self.damaged(json.dumps(pick(self.jwks)).encode())),
            lambda: from_jwk(self._damaged_members(pick(self.jwks))),
            lambda: self._open(pick(tuple(self.wrapping))),
        ]
        return quick * 10 + costly

    def _open(self, suite: int) -> bytes:
        params = self._random.choice(self.sets)
        return open_wrapped(suite, self.damaged(self.containers[suite]), self.wrapping[suite], params)

    def _damaged_members(self, jwk: dict[str, str]) -> dict[str, object]:
        """A JWK with a member replaced by another type, other text, or one of another key type."""
        name = self._random.choice(tuple(jwk))
        strange = (
            None,
            1,
            [],
            {},
            "",
            "A",
            "P-256",
            "X25519",
            "OKP",
            "RSA",
            "oct",
            self.noise().hex(),
            "\ud800",
        )
        return {**jwk, name: self._random.choice(strange), "k": "AAAA"}

    @staticmethod
    def _plain(parse: Callable[[bytes], object], data: bytes) -> object:
        """Run a parser of the layer below, whose error is a ValueError."""
        try:
            return parse(data)
        except ValueError:
            raise BusinessError(401, "refused") from None


def run(count: int, seed: int) -> int:
    """Try `count` inputs; gives the exit status."""
    inputs = Inputs(seed)
    calls = inputs.calls()
    ends: collections.Counter[str] = collections.Counter()
    others: list[str] = []
    base = 0
    started = time.perf_counter()
    for index in range(count):
        if index == min(WARM_UP, count // 2):
            base = resident_bytes()
        call = calls[index % len(calls)]
        try:
            call()
            ends["accepted"] += 1
        except BusinessError as error:
            ends[str(error.code)] += 1
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            ends["OTHER"] += 1
            if len(others) < 10:
                others.append(f"input {index} (seed {seed}): {type(error).__name__}: {error}")
    seconds = time.perf_counter() - started
    growth = resident_bytes() - base
    print(f"{count} inputs in {seconds:.1f} s, {seconds / max(count, 1) * 1e6:.1f} us each, seed {seed}")
    print("ended: " + ", ".join(f"{name} {times}" for name, times in sorted(ends.items())))
    print(f"exceptions that are no BusinessError: {ends['OTHER']}")
    print(f"memory growth after warm-up: {growth / 1024:.0f} KiB")
    for other in others:
        print(other)
    return 1 if others or growth > MAX_GROWTH else 0


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=100_000, help="inputs to try")
    parser.add_argument("--seed", type=int, default=20_240_101, help="the same seed makes the same inputs")
    given = parser.parse_args()
    sys.exit(run(given.count, given.seed))


if __name__ == "__main__":
    main()
