"""Lists of options that change between two sessions: a keystore that remembers against one that does not.

`python -m tests.adversity.remembered_options [PAIRS] [SEED]`: both keystores have the same keys. The one that
remembers has just opened sessions with a list of either form; then the list, what is in it or the key is changed
in some way, and both open a session with it; or the session is opened as before, and the calls on it have the changed
list. Outcome, code and message must be the same.
"""

import copy
import random
import sys
import tempfile
from decimal import Decimal
from types import MappingProxyType, SimpleNamespace

import anyio

import huks_async as huks
from huks_async import HuksTag as Tag

FORMS = (dict, huks.HuksParam)
DATA = b"sixteen bytes or"
NONCE = b"twelve bytes"
DEVICE, CREDENTIAL = 0, 1  # storage levels


class Like(int):
    """Equal to a number and hashed like it, but another object."""


class Text(str):
    """A string of another class."""


def _aes(mode, purpose, **blobs):
    return [
        {"tag": Tag.HUKS_TAG_ALGORITHM, "value": huks.HuksKeyAlg.HUKS_ALG_AES},
        {"tag": Tag.HUKS_TAG_KEY_SIZE, "value": 256},
        {"tag": Tag.HUKS_TAG_PURPOSE, "value": purpose},
        {"tag": Tag.HUKS_TAG_PADDING, "value": 0},
        {"tag": Tag.HUKS_TAG_BLOCK_MODE, "value": mode},
        *({"tag": Tag[f"HUKS_TAG_{name}"], "value": value} for name, value in blobs.items()),
    ]


GCM = huks.HuksCipherMode.HUKS_MODE_GCM
CBC = huks.HuksCipherMode.HUKS_MODE_CBC
LISTS = [
    lambda: _aes(GCM, 1, NONCE=NONCE, ASSOCIATED_DATA=b"header"),
    lambda: _aes(GCM, 1, NONCE=NONCE, AAD=b"header"),
    lambda: _aes(GCM, 2, NONCE=NONCE, AE_TAG=bytes(16)),
    lambda: _aes(CBC, 1, IV=bytes(16)),
    lambda: [*_aes(CBC, 2, IV=bytes(16)), {"tag": Tag.HUKS_TAG_AUTH_STORAGE_LEVEL, "value": DEVICE}],
    lambda: [{"tag": Tag.HUKS_TAG_AUTH_STORAGE_LEVEL, "value": CREDENTIAL}, *_aes(CBC, 1, IV=bytes(16))],
]
VALUES = [
    0, 1, 2, 3, 4, 31, 32, 128, 256, 512, -1, 2**31, 2**40, 10**5000, True, False, None, 1.0, 256.0, Decimal(256),
    1 + 0j, "1", "text", Text("x"), b"", b"\0", bytes(12), bytes(16), bytearray(12), memoryview(bytes(16)),
    bytes(70_000), NONCE, [], {}, object(), Like(1), Like(256), Like(32), GCM, CBC, huks.HuksKeyAlg.HUKS_ALG_AES,
]  # fmt: skip
TAGS = [*Tag, 0, -1, None, "tag", 2.0, b"", [], 10**12]
HOW = [
    "value",
    "value",
    "tag",
    "drop",
    "double",
    "swap",
    "append",
    "lose",
    "equal",
    "level",
    "object",
    "copy",
    "none",
]


def change(rng, properties):
    """Change a list in place, in one way, or give another in its place."""
    how, place = rng.choice(HOW), rng.randrange(len(properties)) if properties else None
    if place is None or how == "append":
        properties.append(rng.choice(FORMS)(tag=rng.choice(TAGS), value=rng.choice(VALUES)))
    elif how in ("value", "tag"):
        _set(properties[place], how, rng.choice(VALUES if how == "value" else TAGS))
    elif how == "drop":
        del properties[place]
    elif how == "double":
        properties.insert(rng.randrange(len(properties)), properties[place])
    elif how == "swap":
        other = rng.randrange(len(properties))
        properties[place], properties[other] = properties[other], properties[place]
    elif how == "lose":
        _lose(properties[place], rng.choice(["tag", "value"]))
    elif how == "equal":  # what compares equal is not the same
        value = _value(properties[place])
        if isinstance(value, int):
            _set(properties[place], "value", rng.choice([Like(value), float(value % 2**50), bool(value)]))
        elif isinstance(value, bytes):
            _set(
                properties[place],
                "value",
                rng.choice([bytearray(value), memoryview(value), value + b"\0", value[:-1]]),
            )
    elif how == "level":
        properties.append({"tag": Tag.HUKS_TAG_AUTH_STORAGE_LEVEL, "value": rng.randrange(4)})
    elif how == "object":
        properties[place] = rng.choice(
            [None, 7, (), huks.HuksParam(Tag.HUKS_TAG_PURPOSE, 1), *_foreign(properties[place])]
        )
    elif how == "copy":
        return rng.choice([tuple, list, iter])(properties)
    return properties


def _set(param, name, value):
    if isinstance(param, dict):
        param[name] = value
    elif isinstance(param, huks.HuksParam):
        setattr(param, name, value)


def _lose(param, name):
    if isinstance(param, dict):
        param.pop(name, None)
    elif isinstance(param, huks.HuksParam) and hasattr(param, name):
        delattr(param, name)


def _value(param):
    return param.get("value") if isinstance(param, dict) else getattr(param, "value", None)


def _foreign(param):
    """What has the tag and value of a parameter, and is none, or another one."""
    if type(param) is not huks.HuksParam or not (hasattr(param, "tag") and hasattr(param, "value")):
        return []
    return [
        SimpleNamespace(tag=param.tag, value=param.value),
        {"tag": param.tag, "value": param.value},
    ]


async def outcome(keystore, alias, properties):
    """What a session gives: its output, or code and message of the error."""
    try:
        session = await keystore.initSession(alias, {"properties": properties})
        result = await keystore.finishSession(session.handle, {"inData": DATA})
    except huks.BusinessError as error:
        return error.code, error.message
    if len(result.outData) > len(DATA) + 16:
        return "a nonce was made"
    return result.outData


async def outcome_of_calls(keystore, alias, begun_with, called_with, form=dict):
    """What a session gives whose calls have parameters of their own, and whether it lives on after each of them."""
    outcomes = []
    try:
        handle = (await keystore.initSession(alias, {"properties": begun_with})).handle
    except huks.BusinessError as error:
        return [(error.code, error.message)]
    for call in (keystore.updateSession, keystore.finishSession):
        for properties in (called_with, []):
            try:
                result = await call(handle, form({"properties": properties, "inData": DATA}))
                outcomes.append(result.outData)
            except huks.BusinessError as error:
                outcomes.append((error.code, error.message.replace(str(handle), "")))
    return outcomes


async def import_keys(keystore, key):
    """One key at two levels, and one that may do less."""
    for level, purpose in ((DEVICE, 3), (CREDENTIAL, 3)):
        made_for = [*_aes(GCM, purpose)[:3], {"tag": Tag.HUKS_TAG_AUTH_STORAGE_LEVEL, "value": level}]
        await keystore.importKeyItem("key", {"properties": made_for, "inData": key})
    await keystore.importKeyItem("bound", {"properties": _aes(CBC, 1), "inData": key})


async def compare(pairs, seed, folder):
    """How many pairs differ. Keys are changed through other keystores on the same stores, as other processes do."""
    rng = random.Random(seed)
    now = [0.0]
    differences = 0
    caches = (huks.KeyCache(seconds=60), huks.KeyCache(keys=0))
    stores = [f"sqlite:///{folder}/{name}.db" for name in ("warm", "cold")]
    warm, cold = (
        huks.Keystore.open(store, clock=lambda: now[0], key_cache=cache)
        for store, cache in zip(stores, caches, strict=True)
    )
    others = [huks.Keystore.open(store) for store in stores]
    async with warm, cold, others[0], others[1]:
        for keystore in others:
            await import_keys(keystore, bytes(32))
        for _ in range(pairs):
            form = rng.choice(FORMS)
            properties = [form(**param) for param in rng.choice(LISTS)()]
            alias = rng.choice(["key", "key", "key", "bound", "absent"])
            for _ in range(rng.randrange(1, 3)):
                await outcome(warm, alias, properties)
            begun_with = [copy.copy(param) for param in properties]
            for _ in range(rng.choice([0, 1, 1, 1, 2])):
                changed = change(rng, properties if isinstance(properties, list) else list(properties))
                properties = changed
            event = rng.random()
            if event < 0.05:
                key = rng.randbytes(32)
                for keystore in rng.choice([(warm, cold), others]):
                    await import_keys(keystore, key)
            elif event < 0.08:
                now[0] += rng.choice([59.0, 61.0])
            elif event < 0.1:
                for keystore in rng.choice([(warm, cold), others]):
                    if await keystore.hasKeyItem("bound", {"properties": []}):
                        await keystore.deleteKeyItem("bound", {"properties": []})
            if isinstance(properties, (list, tuple)):
                both = properties, properties
            else:  # an iterator gives its content once
                content = list(properties)
                both = iter(content), iter(content)
            if rng.random() < 0.4:
                ours = await outcome_of_calls(warm, alias, begun_with, both[0])
                # Neither a tuple nor options of a class of their own are recognised.
                theirs = await outcome_of_calls(cold, alias, tuple(begun_with), both[1], MappingProxyType)
            else:
                ours, theirs = await outcome(warm, alias, both[0]), await outcome(cold, alias, both[1])
            if ours != theirs:
                differences += 1
                print(
                    f"{alias} {_shown(both[0])}: {str(ours)[:200]} against {str(theirs)[:200]}",
                    file=sys.stderr,
                )
    return differences


def _shown(properties):
    return [getattr(param, "tag", param) for param in properties][:50]


def main(pairs=100_000, seed=None):
    """Compare, and tell the number of differences."""
    seed = random.randrange(2**32) if seed is None else seed
    with tempfile.TemporaryDirectory() as folder:
        differences = anyio.run(compare, pairs, seed, folder)
    print(f"{pairs} pairs of sessions, seed {seed}: {differences} differences")
    return differences


if __name__ == "__main__":
    sys.exit(1 if main(*map(int, sys.argv[1:])) else 0)
