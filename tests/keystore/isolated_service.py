"""A service that opens a keystore and then can load no module of the library any more, nor open a file.

Run by test_loading.py. Prints what was imported late, and how each call ended.
"""

import asyncio
import inspect
import io
import json
import os
import resource
import sys
import warnings
from collections.abc import AsyncIterable
from contextlib import AbstractAsyncContextManager
from typing import Any

import huks_async as huks
from huks_async import HuksKeyAlg as Alg
from huks_async import HuksTag as Tag

late: list[str] = []
outcomes: dict[str, str] = {}

# what stands before the 32 bytes of an X25519 key in a SubjectPublicKeyInfo
_X25519_INFO = bytes.fromhex("302a300506032b656e032100")

KEYS: dict[str, dict[str, Any]] = {
    "aes": {"ALGORITHM": Alg.HUKS_ALG_AES, "KEY_SIZE": 256, "PURPOSE": 3, "BLOCK_MODE": 32, "PADDING": 0},
    "rsa": {"ALGORITHM": Alg.HUKS_ALG_RSA, "KEY_SIZE": 2048, "PURPOSE": 12, "DIGEST": 12, "PADDING": 3},
    "ecc": {"ALGORITHM": Alg.HUKS_ALG_ECC, "KEY_SIZE": 256, "PURPOSE": 12, "DIGEST": 12},
    "ed25519": {"ALGORITHM": Alg.HUKS_ALG_ED25519, "KEY_SIZE": 256, "PURPOSE": 12, "DIGEST": 0},
    "x25519": {"ALGORITHM": Alg.HUKS_ALG_X25519, "KEY_SIZE": 256, "PURPOSE": 256},
    "dh": {"ALGORITHM": Alg.HUKS_ALG_DH, "KEY_SIZE": 2048, "PURPOSE": 256},
    "hmac": {"ALGORITHM": Alg.HUKS_ALG_HMAC, "KEY_SIZE": 256, "PURPOSE": 128, "DIGEST": 12},
    "sm2": {"ALGORITHM": Alg.HUKS_ALG_SM2, "KEY_SIZE": 256, "PURPOSE": 12, "DIGEST": 2},
    "sm4": {"ALGORITHM": Alg.HUKS_ALG_SM4, "KEY_SIZE": 128, "PURPOSE": 3, "BLOCK_MODE": 2, "PADDING": 0},
    "ml-dsa": {"ALGORITHM": Alg.HUKS_ALG_ML_DSA, "KEY_SIZE": 65, "PURPOSE": 12},
    "ml-kem": {"ALGORITHM": Alg.HUKS_ALG_ML_KEM, "KEY_SIZE": 768, "PURPOSE": 96},
    "3des": {"ALGORITHM": Alg.HUKS_ALG_3DES, "KEY_SIZE": 192, "PURPOSE": 3, "BLOCK_MODE": 2, "PADDING": 0},
    "cmac": {"ALGORITHM": Alg.HUKS_ALG_CMAC, "KEY_SIZE": 128, "PURPOSE": 128, "BLOCK_MODE": 2},
    "dsa": {"ALGORITHM": Alg.HUKS_ALG_DSA, "KEY_SIZE": 2048, "PURPOSE": 12, "DIGEST": 12},
}


class NoImports:
    """Finds no module of the library, as if its files were gone."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == "huks_async":
            late.append(name)
            raise ImportError(f"{name} is gone")


def options(data: bytes = b"", **values: Any) -> dict[str, Any]:
    """Options with these parameters and this input."""
    properties = [{"tag": Tag[f"HUKS_TAG_{name}"], "value": value} for name, value in values.items()]
    return {"properties": properties, "inData": data}


async def attempt(name: str, call: Any) -> Any:
    """Note how a call ends: it may succeed or be refused, by the library's own errors alone."""
    try:
        result = await call if inspect.isawaitable(call) else call
    except huks.BusinessError as error:
        outcomes[name] = f"BusinessError {error.code}"
    except Exception as error:
        outcomes[name] = f"{type(error).__name__}: {error}"
    else:
        outcomes[name] = "ok"
        return result


async def use_each_algorithm(keystore: huks.Keystore) -> None:
    """Make, use, export, read and attest a key of each family."""
    for alias, values in KEYS.items():
        await attempt(f"generate {alias}", keystore.generateKeyItem(alias, options(**values)))
        first = values["PURPOSE"] & -values["PURPOSE"]
        more = {
            "aes": {"NONCE": bytes(12)},
            "sm4": {"IV": bytes(16)},
            "3des": {"IV": bytes(8)},
            "cmac": {"IV": bytes(8)},
        }
        opened = await attempt(
            f"init {alias}",
            keystore.initSession(alias, options(**(values | {"PURPOSE": first} | more.get(alias, {})))),
        )
        if opened is not None:
            await attempt(f"update {alias}", keystore.updateSession(opened.handle, options(bytes(16))))
            await attempt(f"finish {alias}", keystore.finishSession(opened.handle, options(bytes(16))))
        exported = await attempt(f"export {alias}", keystore.exportKeyItem(alias, options()))
        if exported is not None:
            await attempt(
                f"import {alias}",
                keystore.importKeyItem(
                    f"{alias} 2",
                    options(exported.outData, **values | {"PURPOSE": values["PURPOSE"] & (8 | 32 | 256)}),
                ),
            )
        await attempt(
            f"attest {alias}", keystore.attestKeyItem(alias, options(ATTESTATION_CHALLENGE=bytes(16)))
        )


async def use_each_function(keystore: huks.Keystore) -> None:
    """Call each public method once, with arguments that lead it far."""
    kem = options(**{k: v for k, v in KEYS["ml-kem"].items() if k == "ALGORITHM"})["properties"]
    aes = options(bytes(32), **KEYS["aes"])
    arguments: dict[str, Any] = {
        "keyAlias": "aes", "options": aes, "huksOptions": aes, "params": aes, "handle": 1, "userId": 101,
        "wrappingKeyAlias": "rsa", "wrappedKey": bytes(64), "encapData": bytes(1088), "token": None,
        "sharedKeyAlias": None, "sharedKeyParams": None, "path": "backup.db",
        "providerName": "p", "propertyId": "p", "alias": "aes", "data": b"data", "context": b"", "level": 1,
        "length": 32, "source": [b"data"], "file": io.BytesIO(b"data"), "sealed": bytes(100), "signature": bytes(64),
        "tag": bytes(32),
        "resourceId": '{"providerName":"p","abilityName":"a","bundleName":"default","index":"k"}',
    }  # fmt: skip
    public = (await keystore.exportKeyItem("x25519", options())).outData
    special: dict[str, dict[str, Any]] = {
        "seal_to": {"public_key": _X25519_INFO + public},
        "encrypt_stream": {"options": None},
        "decrypt_stream": {"options": None},
        "open_sealed": {"options": None},
        "sign": {"alias": "ecc"},
        "verify": {"alias": "ecc"},
        "mac": {"alias": "cmac"},
        "check_mac": {"alias": "cmac"},
        "authenticate": {"challenge": bytes(32), "credential": "1234", "auth_type": 4, "user_id": None},
        "for_caller": {"name": "service", "user_id": 101, "namespace": None},
        "encapsulate": {"keyAlias": "ml-kem", "params": kem},
        "decapsulate": {"keyAlias": "ml-kem", "params": kem},
        "anonAttestKeyItemOffline": {
            "keyAlias": "ecc",
            "params": options(ATTESTATION_CHALLENGE=bytes(16))["properties"],
        },
    }
    for name in vars(huks.huksExternalCrypto):
        special[name] = {"params": []}
    for name in ("export_certificates", "list_certificates"):
        special[name] = {"params": []}
    skipped = {"open", "aopen", "aclose", "after_fork", "monitor_low_memory", "close_with_loop"}
    for name, function in inspect.getmembers(huks.Keystore, callable):
        if name.startswith("_") or name in skipped:
            continue
        given = arguments | special.get(name, {})
        names = list(inspect.signature(function).parameters)[1:]
        missing = [each for each in names if each not in given]
        if missing:
            outcomes[name] = f"this program does not know the arguments {missing}"
            continue
        called = getattr(keystore, name)(**{each: given[each] for each in names})
        if inspect.isasyncgen(called):
            called = exhaust(called)
        elif hasattr(called, "__aenter__") and not isinstance(called, huks.Keystore):
            called = enter(called)
        await attempt(name, called)
    decrypt = options(**KEYS["aes"] | {"PURPOSE": 2, "NONCE": bytes(12), "AE_TAG": bytes(16)})
    await attempt("session", drain(keystore.session("aes", decrypt)))


async def exhaust(pieces: AsyncIterable[bytes]) -> None:
    """Take all there is."""
    async for _ in pieces:
        pass


async def enter(block: AbstractAsyncContextManager[Any]) -> None:
    """Enter a block and leave it."""
    async with block:
        pass


async def drain(session: huks.KeySession) -> None:
    """Stream more than the spool keeps in memory."""
    async with session:
        async for _ in session.stream(bytes(1 << 20) for _ in range(20)):
            pass


async def main() -> None:
    """Open, lose everything, work."""
    warnings.simplefilter("ignore")
    store = sys.argv[1]
    keystore = huks.Keystore.open(
        store, root_key=huks.EphemeralRootKey(), wrapping_key=huks.EphemeralRootKey(), debug=True
    )
    await keystore.aopen()
    sys.meta_path.insert(0, NoImports())  # type: ignore[arg-type]
    held: list[int] = []
    if "--no-files" in sys.argv:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        try:
            while True:
                held.append(os.dup(2))
        except OSError:
            pass
    await use_each_algorithm(keystore)
    await use_each_function(keystore)
    for name in huks.__all__:
        await attempt(name, getattr(huks, name, None))
    await attempt("aclose", keystore.aclose())
    for fd in held:
        os.close(fd)
    print(json.dumps([late, outcomes]))


if __name__ == "__main__":
    asyncio.run(main())
