"""The keys of tokens that need no exchange: each process derives them from the key of the store."""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from huks_async.access.tokens import KEY_BYTES, AuthTokenKeys
from huks_async.model.errors import BusinessError


def keys_of_store(store_key: bytes) -> AuthTokenKeys:
    """The token keys that all processes on one store share until the machine restarts.

    Raises:
        BusinessError: 12000012 where the system does not tell one start of the machine from another.
    """
    from huks_async.access.attempts import boot_id

    boot = boot_id()
    if not any(boot):
        # the clock of tokens begins anew with each start, so those of the last one would be fresh again
        raise BusinessError(
            12000012,
            'token_keys="store": this system shows no id of the machine\'s present start '
            "(/proc/sys/kernel/random/boot_id), so tokens could outlive it; leave token_keys out, or give "
            "AuthTokenKeys",
        )
    info = b"huks_async auth token keys 1\0" + boot
    derived = HKDF(SHA256(), 2 * KEY_BYTES, salt=None, info=info).derive(store_key)
    return AuthTokenKeys(derived[:KEY_BYTES], derived[KEY_BYTES:])
