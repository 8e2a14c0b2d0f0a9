"""One operation, all peers: what users of other libraries pay for the same bytes.

Not a metric: peers without sessions, parameters and key custody do less. It shows the neighbourhood.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import huks_async as huks
from benchmarks import ours
from benchmarks.measuring import Case, Settings, calls, interleave
from benchmarks.metric import PeerMissing
from benchmarks.peers import pycryptodome, raw, softhsm, tink

SIZES = {"64 B": 64, "1 KB": 1024, "16 KB": 16 * 1024, "100 KB": 100 * 1024}

Maker = Callable[[], raw.Call]


async def measure(settings: Settings, say: Callable[[str], None]) -> dict[str, Any]:
    """µs of each operation for each peer, and what is missing here."""
    tables: dict[str, dict[str, float]] = {}
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        token: Any = None
        try:
            token = stack.enter_context(softhsm.session())
        except PeerMissing as why:
            missing[softhsm.NAME] = str(why)
        async with ours.open_keystore(settings, "gcm", "ecdsa", "rsa") as keystore:
            for title, key, data, makers in _operations(token):
                say(title)
                tables[title] = await _one(settings, keystore, key, data, makers, missing)
    return {"unit": "µs", "operations": tables, "missing": missing}


def _operations(token: Any) -> Iterator[tuple[str, str, bytes, dict[str, Maker]]]:
    nonce, aad, key = ours.NONCE, ours.AAD, os.urandom(32)
    for size, length in SIZES.items():
        data = bytes(length)
        makers: dict[str, Maker] = {
            "cryptography one-shot": partial(raw.gcm_one_shot, key, nonce, aad, data),
            "cryptography context": partial(raw.gcm_context, key, nonce, aad, data),
            tink.NAME: partial(tink.gcm, aad, data),
            pycryptodome.NAME: partial(pycryptodome.gcm, key, nonce, aad, data),
        }
        if token is not None:
            makers[softhsm.NAME] = partial(softhsm.gcm, token, nonce, aad, data)
        yield f"AES-256-GCM {size}", "gcm", data, makers
    data = bytes(64)
    makers = {
        "cryptography": lambda: raw.ecdsa(data),
        tink.NAME: lambda: tink.ecdsa(data),
        pycryptodome.NAME: lambda: pycryptodome.ecdsa(data),
    }
    if token is not None:
        makers[softhsm.NAME] = lambda: softhsm.ecdsa(token, data)
    yield "ECDSA P-256 sign", "ecdsa", data, makers
    makers = {
        "cryptography": lambda: raw.rsa_sign(data),
        pycryptodome.NAME: lambda: pycryptodome.rsa_sign(data),
    }
    if token is not None:
        makers[softhsm.NAME] = lambda: softhsm.rsa_sign(token, data)
    yield "RSA-2048 sign", "rsa", data, makers


async def _one(
    settings: Settings,
    keystore: huks.Keystore,
    key: str,
    data: bytes,
    makers: dict[str, Maker],
    missing: dict[str, str],
) -> dict[str, float]:
    cases = [Case("huks_async init + finish", ours.init_and_finish(keystore, key, data))]
    for name, make in makers.items():
        try:
            cases.append(Case(name, calls(make())))
        except PeerMissing as why:
            missing[name] = str(why)
    return (await interleave(settings, cases)).microseconds()
