"""Keys of known bytes."""

from typing import Any

from huks_async import Keystore
from huks_async.crypto.key_material import KeyMaterial
from huks_async.keys.items.item import encode_params
from huks_async.model.params import parse_properties
from tests.keystore.support import A, options, params


async def add_key(keystore: Keystore, alias: str, parameters: dict[str, Any], material: bytes) -> None:
    """Import a key; one of ML-KEM by its seed, which is a form that only generated keys have."""
    if parameters["ALGORITHM"] != A.HUKS_ALG_ML_KEM:
        await keystore.importKeyItem(alias, options(material, **parameters))
        return
    state = keystore._open_state()
    seed = KeyMaterial(A.HUKS_ALG_ML_KEM, parameters["KEY_SIZE"], material)
    await state.shelf.save(
        alias, 1, encode_params(parse_properties(params(**parameters))), seed, override=True
    )
