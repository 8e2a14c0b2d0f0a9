"""Authenticated encryption: GCM, streamed, with AES and SM4, and CCM, collected, with AES.

What leaves encryption is ciphertext, then the tag, then the nonce where it was made here.
Decryption takes the ciphertext alone; nonce and tag are parameters.
"""

from huks_async.crypto.family import OperationSpec, Starter
from huks_async.crypto.secret_key import generate, load
from huks_async.crypto.symmetric import ccm, gcm
from huks_async.model.enums import HuksCipherMode
from huks_async.model.errors import BusinessError

__all__ = ["generate", "load", "starter"]

_INVALID = 12000003

_STARTERS = {
    int(HuksCipherMode.HUKS_MODE_GCM): gcm.starter,
    int(HuksCipherMode.HUKS_MODE_CCM): ccm.starter,
}


def starter(spec: OperationSpec) -> Starter:
    """Prepare GCM or AES-CCM.

    Raises:
        BusinessError: 12000003 for another mode, and for a tag length that CCM does not have.

    """
    chosen = None if spec.mode is None else _STARTERS.get(spec.mode)
    if chosen is None:
        raise BusinessError(
            _INVALID, f"HUKS_TAG_BLOCK_MODE is {spec.mode}; accepted are HUKS_MODE_GCM and HUKS_MODE_CCM"
        )
    return chosen(spec)
