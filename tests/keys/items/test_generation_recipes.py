"""What a key maker remembers of parameters gives the same keys and the same errors as checking them anew."""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import huks_async as huks
from huks_async import HuksTag as Tag

_VALUES: dict[int, list[Any]] = {
    Tag.HUKS_TAG_ALGORITHM: [huks.HuksKeyAlg.HUKS_ALG_AES, huks.HuksKeyAlg.HUKS_ALG_HMAC, 2, 99],
    Tag.HUKS_TAG_KEY_SIZE: [128, 256, 224, 7],
    Tag.HUKS_TAG_PURPOSE: [1, 3, 4, 16, 0x4000],
    Tag.HUKS_TAG_DIGEST: [huks.HuksKeyDigest.HUKS_DIGEST_SHA256, 99],
    Tag.HUKS_TAG_PADDING: [huks.HuksKeyPadding.HUKS_PADDING_NONE, huks.HuksKeyPadding.HUKS_PADDING_PKCS7],
    Tag.HUKS_TAG_BLOCK_MODE: [huks.HuksCipherMode.HUKS_MODE_CBC, huks.HuksCipherMode.HUKS_MODE_GCM, 77],
    Tag.HUKS_TAG_KEY_OVERRIDE: [True, False],
    Tag.HUKS_TAG_AUTH_STORAGE_LEVEL: [0, 1, 2, 9],
    Tag.HUKS_TAG_KEY_SECURITY_LEVEL: [0, 1],
    Tag.HUKS_TAG_IS_DEVICE_PASSWORD_SET: [False, True],
    Tag.HUKS_TAG_NO_AUTH_REQUIRED: [True],
    Tag.HUKS_TAG_KEY_STORAGE_FLAG: [0, 1],
    Tag.HUKS_TAG_IS_ALLOWED_WRAP: [True],
    Tag.HUKS_TAG_KEY_AUTH_ID: [b"some", b"other"],
}
_USUAL = {
    Tag.HUKS_TAG_ALGORITHM: huks.HuksKeyAlg.HUKS_ALG_AES,
    Tag.HUKS_TAG_KEY_SIZE: 256,
    Tag.HUKS_TAG_PURPOSE: 3,
}


def _options(changes: dict[int, Any]) -> dict[str, Any]:
    return {"properties": [{"tag": tag, "value": value} for tag, value in (_USUAL | changes).items()]}


async def _outcome(keystore: huks.Keystore, options: dict[str, Any]) -> object:
    try:
        await keystore.generateKeyItem("key", options)
    except huks.BusinessError as error:
        return error.code, error.message
    level = dict(_pairs(options)).get(Tag.HUKS_TAG_AUTH_STORAGE_LEVEL, 1)
    place = {"properties": [{"tag": Tag.HUKS_TAG_AUTH_STORAGE_LEVEL, "value": level}]}
    found = await keystore.getKeyItemProperties("key", place)
    return [(param.tag, type(param.value), param.value) for param in found.properties or []]


def _pairs(options: dict[str, Any]) -> list[tuple[int, Any]]:
    return [(param["tag"], param["value"]) for param in options["properties"]]


_lists = st.lists(
    st.dictionaries(st.sampled_from(list(_VALUES)), st.integers(0, 4), max_size=3).map(
        lambda drawn: {tag: _VALUES[tag][place % len(_VALUES[tag])] for tag, place in drawn.items()}
    ),
    min_size=2,
    max_size=6,
)


@given(_lists)
@settings(max_examples=60, deadline=None)
def test_a_remembered_recipe_changes_nothing(lists: list[dict[int, Any]]) -> None:
    """Each list goes, twice over, to a keystore that remembers the lists before it and to one that never remembers."""

    async def main() -> None:
        async with (
            huks.Keystore.open("memory:", monitor=False) as remembering,
            huks.Keystore.open("memory:", monitor=False) as forgetting,
        ):
            state = forgetting._open_state()
            for changes in lists * 2:
                options = _options(changes)
                state.maker._recipes.clear()
                state.maker._lists.clear()
                assert await _outcome(remembering, options) == await _outcome(forgetting, options)

    asyncio.run(main())
