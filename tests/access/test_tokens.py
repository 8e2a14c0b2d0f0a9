"""The token, bit for bit, against code that was written after the documented table alone."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from huks_async import BusinessError
from huks_async.access import AuthToken, AuthTokenKeys, combine_challenges, open_token, seal_token
from tests.access.support import make_token

MAC_KEY, CIPHER_KEY = b"m" * 32, b"c" * 32
KEYS = AuthTokenKeys(MAC_KEY, CIPHER_KEY)

_U32, _U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
TOKENS = st.builds(
    AuthToken,
    challenge=st.binary(min_size=32, max_size=32),
    time=_U64,
    trust_level=_U32,
    auth_type=_U32,
    user_id=st.integers(-(2**31), 2**31 - 1),
    secure_uid=_U64,
    enrolled_id=_U64,
    credential_id=_U64,
    token_type=_U32,
    version=_U32,
    auth_mode=_U32,
    security_level=_U32,
    collector=st.binary(min_size=64, max_size=64),
    verifier=st.binary(min_size=64, max_size=64),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TOKENS)
def test_what_is_sealed_opens_as_it_was(token: AuthToken) -> None:
    """Every field survives, and the token has 280 bytes."""
    sealed = seal_token(token, KEYS)
    assert len(sealed) == 280
    assert open_token(sealed, KEYS) == token


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TOKENS)
def test_a_token_of_other_code_opens(token: AuthToken) -> None:
    """The layout is the documented one, field by field."""
    other = make_token(
        MAC_KEY,
        CIPHER_KEY,
        version=token.version,
        challenge=token.challenge,
        time=token.time,
        level=token.trust_level,
        auth_type=token.auth_type,
        mode=token.auth_mode,
        security=token.security_level,
        token_type=token.token_type,
        user_id=token.user_id,
        secure_uid=token.secure_uid,
        enrolled_id=token.enrolled_id,
        credential_id=token.credential_id,
        collector=token.collector,
        verifier=token.verifier,
    )
    assert open_token(other, KEYS) == token


def test_every_bit_is_authenticated() -> None:
    """A token with any one of its 2240 bits flipped is refused with 12000008."""
    sealed = make_token(MAC_KEY, CIPHER_KEY)
    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BusinessError) as caught:
            open_token(bytes(changed), KEYS)
        assert caught.value.code == 12000008


@pytest.mark.parametrize("length", [0, 1, 279, 281, 560])
def test_other_lengths_are_401(length: int) -> None:
    """A token has 280 bytes."""
    with pytest.raises(BusinessError) as caught:
        open_token((make_token(MAC_KEY, CIPHER_KEY) * 2)[:length], KEYS)
    assert caught.value.code == 401


def test_another_cipher_key_is_told_from_another_mac_key() -> None:
    """12000006 where only the encryption fails, 12000008 where the MAC does."""
    for keys, code in (
        (AuthTokenKeys(MAC_KEY, b"x" * 32), 12000006),
        (AuthTokenKeys(b"x" * 32, CIPHER_KEY), 12000008),
    ):
        with pytest.raises(BusinessError) as caught:
            open_token(make_token(MAC_KEY, CIPHER_KEY), keys)
        assert caught.value.code == code


def test_challenges_are_combined_by_position() -> None:
    """Each challenge gives the 8 bytes of its own position; a place that is left out is random."""
    first, third = bytes(range(32)), bytes(range(32, 64))
    combined = combine_challenges(first, None, third)
    assert combined[:8] == first[:8]
    assert combined[16:24] == third[16:24]
    assert combined[8:16] not in (first[8:16], third[8:16])
    for wrong in ((b"short",), (first,) * 5):
        with pytest.raises(BusinessError):
            combine_challenges(*wrong)


@pytest.mark.parametrize("wrong", [32, 3.5, None, "x" * 32, [1] * 32, b"x" * 31])
def test_what_are_no_keys_is_401(wrong: Any) -> None:
    """A number, a text or a list is no key, whatever Python would make of it."""
    for keys in ((wrong, CIPHER_KEY), (MAC_KEY, wrong)):
        with pytest.raises(BusinessError) as caught:
            AuthTokenKeys(*keys)
        assert caught.value.code == 401


@pytest.mark.parametrize("wrong", [32, 3.5, "x" * 32, [999] * 32, object()])
def test_what_is_no_challenge_or_token_is_401(wrong: Any) -> None:
    """Whatever it is, and wherever it is given; any buffer of bytes is as good as bytes."""
    token = open_token(make_token(MAC_KEY, CIPHER_KEY), KEYS)
    for refused in (
        lambda: combine_challenges(None, wrong),
        lambda: seal_token(token._replace(challenge=wrong), KEYS),
        lambda: seal_token(token._replace(collector=wrong), KEYS),
        lambda: seal_token(token._replace(verifier=wrong), KEYS),
        lambda: open_token(wrong, KEYS),
    ):
        with pytest.raises(BusinessError) as caught:
            refused()
        assert caught.value.code == 401
    assert combine_challenges(bytearray(32))[:8] == bytes(8)  # type: ignore[arg-type]
    sealed = seal_token(token._replace(challenge=memoryview(bytes(32))), KEYS)  # type: ignore[arg-type]
    assert open_token(memoryview(bytearray(sealed)), KEYS).challenge == bytes(32)  # type: ignore[arg-type]


def test_keys_show_nothing() -> None:
    """Neither keys nor tokens give their bytes away when they are printed."""
    assert repr(KEYS) == "<AuthTokenKeys>"
    assert "1001" not in repr(open_token(make_token(MAC_KEY, CIPHER_KEY), KEYS))
