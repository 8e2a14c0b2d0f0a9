"""Words that the tests of external providers share."""

import json
from typing import Any

import huks_async as huks
from tests.conformance import support

ext = huks.huksExternalCrypto
TAG = ext.HuksExternalCryptoTag
NAME, ABILITY = "vendor", "CryptoExtension"
ABILITY_PARAM = {"tag": TAG.HUKS_EXT_CRYPTO_TAG_ABILITY_NAME, "value": ABILITY.encode()}
KEY_CLASS = {"tag": huks.HuksTag.HUKS_TAG_KEY_CLASS, "value": 1}


def pin(value: bytes = b"123456") -> list[dict[str, Any]]:
    return [{"tag": TAG.HUKS_EXT_CRYPTO_TAG_UKEY_PIN, "value": value}]


def rid(index: Any = "k", *, name: str = NAME, ability: str = ABILITY, bundle: str = "default") -> str:
    return json.dumps({"providerName": name, "abilityName": ability, "bundleName": bundle, "index": index})


def external(inData: bytes | None = None, **tags: Any) -> dict[str, Any]:
    """Options for a key of a provider."""
    options = support.options(KEY_CLASS=1, **tags)
    return {**options, "inData": inData} if inData is not None else options


refused = support.refused
