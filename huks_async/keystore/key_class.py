"""Whether a call is about a key of this keystore, or about one that an external provider holds."""

from huks_async.model.enums import HuksKeyClassType
from huks_async.model.errors import BusinessError
from huks_async.model.params import ParamSet
from huks_async.model.tags import HuksTag

KEY_CLASS = int(HuksTag.HUKS_TAG_KEY_CLASS)
_EXTENSION = int(HuksKeyClassType.HUKS_KEY_CLASS_EXTENSION)


def is_external(params: ParamSet) -> bool:
    """Whether a call is about a key of an external provider.

    Raises:
        BusinessError: 401 for a KEY_CLASS that is neither 0 nor 1.
    """
    key_class = params.numbers.get(KEY_CLASS)
    if not key_class:
        return False
    if key_class != _EXTENSION:
        raise BusinessError(
            401, f"HUKS_TAG_KEY_CLASS: got {key_class}, accepted 0 (of this keystore) and 1 (of a provider)"
        )
    return True
