"""Which keys can be made: the documented tables of tags, values and codes, row by row."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from huks_async import BusinessError, HuksKeyAlg, KeyAuthError, Keystore
from huks_async.access import AuthRequest, AuthTokenKeys, PinAuthenticator
from huks_async.testing import EverybodyAuthenticator
from tests.access.support import (
    AES,
    ALWAYS,
    CLEAR,
    DECRYPT,
    DERIVE,
    ENCRYPT,
    FACE,
    FINGERPRINT,
    GCM_KEY,
    MAC,
    NEW_BIO,
    NONE,
    NORMAL,
    PIN,
    PIN_KEY,
    SIGN_KEY,
    SM4,
    TUI,
    finish,
    generate,
    open_session,
    options,
    params,
    refused,
)

pytestmark = pytest.mark.asyncio

Make = Callable[..., Any]


def generating(keystore: Keystore) -> Make:
    """Make a key by generation."""

    async def make(**values: Any) -> None:
        await keystore.generateKeyItem("key", options(**values))

    return make


def importing(keystore: Keystore) -> Make:
    """Make a key by import."""

    async def make(**values: Any) -> None:
        await keystore.importKeyItem("key", options(bytes(32), **values))

    return make


@pytest.fixture(params=[generating, importing])
def make(request: pytest.FixtureRequest, keystore: Keystore, authenticator: EverybodyAuthenticator) -> Make:
    """Both ways of making a key; user 100 has everything enrolled."""
    authenticator.enroll(100, FACE)
    authenticator.enroll(100, FINGERPRINT)
    made: Make = request.param(keystore)
    return made


async def answer(call: Any) -> int:
    """The code of a call, 0 where it succeeds."""
    try:
        await call
    except BusinessError as error:
        return error.code
    return 0


LEGAL_TYPES = {1, 2, 3, 4, 5, 6, 7, 32, 33, 34, 35}


async def test_auth_types(make: Make) -> None:
    """Eleven sets of credentials are legal, alone with ALWAYS_VALID; TUI PIN alone is 12000001, others are 401."""
    for auth_type in (*range(72), 128, 2**31):
        code = await answer(
            make(**GCM_KEY, **{**PIN_KEY, "USER_AUTH_TYPE": auth_type, "KEY_AUTH_ACCESS_TYPE": 4})
        )
        assert code == (12000001 if auth_type == TUI else 0 if auth_type in LEGAL_TYPES else 401), auth_type


async def test_access_types(make: Make) -> None:
    """The table of access types for each set of credentials."""
    legal = {
        (PIN,): {CLEAR, ALWAYS},
        (1, 2, 3): {CLEAR, NEW_BIO, ALWAYS},
        (5, 6, 7): {CLEAR, NEW_BIO, CLEAR | NEW_BIO, ALWAYS},
        (33, 34, 35): {ALWAYS},
    }
    for auth_types, accesses in legal.items():
        for auth_type in auth_types:
            for access in range(10):
                values = {**PIN_KEY, "USER_AUTH_TYPE": auth_type, "KEY_AUTH_ACCESS_TYPE": access}
                code = await answer(make(**GCM_KEY, **values))
                assert code == (0 if access in accesses else 401), (auth_type, access)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"KEY_AUTH_ACCESS_TYPE": None}, 401),
        ({"CHALLENGE_TYPE": None}, 401),
        ({"CHALLENGE_TYPE": 3}, 401),
        ({"USER_AUTH_TYPE_ATL": 0}, 401),
        ({"USER_AUTH_TYPE_ATL": 5}, 401),
        ({"USER_AUTH_TYPE_ATL": 4}, 0),
        ({"USER_AUTH_TYPE": None, "USER_AUTH_TYPE_ATL": 1}, 0),
        ({"USER_AUTH_TYPE": None, "USER_AUTH_TYPE_ATL": 1, "KEY_AUTH_ACCESS_TYPE": NEW_BIO}, 12000001),
        ({"USER_AUTH_TYPE": None, "USER_AUTH_TYPE_ATL": 1, "KEY_AUTH_ACCESS_TYPE": 5}, 401),
        ({"CHALLENGE_TYPE": NONE, "AUTH_TIMEOUT": 0}, 401),
        ({"CHALLENGE_TYPE": NONE, "AUTH_TIMEOUT": 1}, 0),
        ({"CHALLENGE_TYPE": NONE, "AUTH_TIMEOUT": 216_000}, 0),
        ({"CHALLENGE_TYPE": NONE, "AUTH_TIMEOUT": 216_001}, 401),
        ({"CHALLENGE_TYPE": NORMAL, "AUTH_TIMEOUT": 0}, 0),
        ({"KEY_SECURE_SIGN_TYPE": 1}, 401),
        ({"KEY_SECURE_SIGN_TYPE": 2}, 401),
        ({"KEY_AUTH_PURPOSE": 0}, 12000003),
        ({"KEY_AUTH_PURPOSE": 4}, 12000003),
        ({"KEY_AUTH_PURPOSE": DECRYPT | 4}, 12000003),
        ({"KEY_AUTH_PURPOSE": DECRYPT}, 0),
        ({"KEY_AUTH_PURPOSE": DECRYPT, "BLOCK_MODE": 3}, 12000001),
        ({"IS_ALLOWED_WRAP": True}, 12000012),
        ({"IS_ALLOWED_WRAP": True, "KEY_AUTH_ACCESS_TYPE": ALWAYS}, 0),
        ({"USER_AUTH_MODE": 1}, 0),
        ({"USER_AUTH_MODE": 2}, 401),
        ({"BATCH_PURPOSE": ENCRYPT}, 0),
        ({"BATCH_PURPOSE": 4}, 12000003),
        ({"IS_DEVICE_PASSWORD_SET": True}, 0),
        ({"NO_AUTH_REQUIRED": True, "CHALLENGE_TYPE": None, "KEY_AUTH_ACCESS_TYPE": 77}, 0),
        ({"NO_AUTH_REQUIRED": False}, 0),
    ],
)
async def test_combinations(make: Make, changes: dict[str, Any], code: int) -> None:
    """One row of the table at a time, at generation and import."""
    assert await answer(make(**{**GCM_KEY, **PIN_KEY, **changes})) == code


async def test_secure_sign(keystore: Keystore) -> None:
    """Type 1 alone, with SIGN, and with somebody whom signatures can name."""
    make = generating(keystore)
    assert await answer(make(**SIGN_KEY, **PIN_KEY, KEY_SECURE_SIGN_TYPE=1)) == 0
    assert await answer(make(**SIGN_KEY, **PIN_KEY, KEY_SECURE_SIGN_TYPE=0)) == 401
    only_level = {**PIN_KEY, "USER_AUTH_TYPE": None, "USER_AUTH_TYPE_ATL": 1}
    assert await answer(make(**SIGN_KEY, **only_level, KEY_SECURE_SIGN_TYPE=1)) == 12000001
    assert await answer(make(**SIGN_KEY, KEY_SECURE_SIGN_TYPE=1)) == 12000001


REFINED = {
    AES: ({ENCRYPT, DECRYPT, 3, DERIVE, MAC}, {2, 32, 31}),
    HuksKeyAlg.HUKS_ALG_3DES: ({ENCRYPT, DECRYPT, 3, DERIVE, MAC}, {1, 2}),
    SM4: ({ENCRYPT, DECRYPT, 3}, {2}),
}


@pytest.mark.filterwarnings("ignore::huks_async.HuksLegacyWarning")
@pytest.mark.parametrize("algorithm", REFINED)
async def test_refined_control(keystore: Keystore, algorithm: int) -> None:
    """Purposes and modes of symmetric keys that a KEY_AUTH_PURPOSE goes with; others are 12000001."""
    purposes, modes = REFINED[algorithm]
    size = {AES: 256, SM4: 128}.get(algorithm, 192)
    for purpose in (ENCRYPT, DECRYPT, 3, DERIVE, MAC):
        for mode in (1, 2, 3, 31, 32):
            values = {"ALGORITHM": algorithm, "KEY_SIZE": size, "PURPOSE": purpose, "BLOCK_MODE": mode}
            plain = await answer(keystore.generateKeyItem("key", options(**values)))
            code = await answer(
                keystore.generateKeyItem(
                    "key", options(**values, **PIN_KEY, KEY_AUTH_PURPOSE=purpose & -purpose)
                )
            )
            legal = purpose in purposes and mode in modes
            assert code == (plain if legal else 12000001), (purpose, mode)


async def test_the_order_of_checks(keystore: Keystore, authenticator: EverybodyAuthenticator) -> None:
    """ML-KEM, then demands, then enrolment, then the algorithm, then the device password."""
    make = generating(keystore)
    kem = {"ALGORITHM": HuksKeyAlg.HUKS_ALG_ML_KEM, "KEY_SIZE": 768, "PURPOSE": 32 | 64}
    for tag in ("KEY_AUTH_ACCESS_TYPE", "CHALLENGE_TYPE", "USER_AUTH_TYPE"):
        assert await answer(make(**kem, **{tag: 1})) == 12000018
    assert await answer(make(**kem, NO_AUTH_REQUIRED=True, USER_AUTH_TYPE=PIN)) == 0
    bad_size = {**GCM_KEY, "KEY_SIZE": 5}
    assert await answer(make(**bad_size, **{**PIN_KEY, "CHALLENGE_TYPE": 9})) == 401
    assert await answer(make(**bad_size, **{**PIN_KEY, "USER_AUTH_TYPE": FACE})) == 12000013
    assert await answer(make(**bad_size, **PIN_KEY, IS_DEVICE_PASSWORD_SET=True)) == 12000003
    authenticator.clear_pin(100)
    assert await answer(make(**GCM_KEY, IS_DEVICE_PASSWORD_SET=True)) == 12000016


async def test_every_credential_must_be_enrolled(
    keystore: Keystore, authenticator: EverybodyAuthenticator
) -> None:
    """12000013 where one of those that the key names is missing; ALWAYS_VALID asks for none."""
    make = generating(keystore)
    for auth_type in (FACE, PIN | FACE, PIN | FACE | FINGERPRINT):
        values = {**PIN_KEY, "USER_AUTH_TYPE": auth_type}
        assert await answer(make(**GCM_KEY, **values)) == 12000013
        assert await answer(make(**GCM_KEY, **{**values, "KEY_AUTH_ACCESS_TYPE": ALWAYS})) == 0
    authenticator.enroll(100, FACE)
    assert await answer(make(**GCM_KEY, **{**PIN_KEY, "USER_AUTH_TYPE": PIN | FACE})) == 0


def _in_the_middle(credential: str) -> None:
    try:
        int(credential)
    except ValueError:
        raise BusinessError(12000008, "no such PIN")  # noqa: B904


def _from_a_cause(credential: str) -> None:
    try:
        int(credential)
    except ValueError as error:
        raise BusinessError(12000008, "no such PIN") from error


@pytest.mark.parametrize(
    ("check", "code"), [(int, 12000015), (_in_the_middle, 12000008), (_from_a_cause, 12000008)]
)
async def test_a_credential_is_not_in_what_is_behind_a_failure(
    check: Callable[[str], object], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception of Python's repeats the text that it is about."""

    async def authenticate(host: object, request: object, credential: object) -> object:
        return check(str(credential))

    authenticator = EverybodyAuthenticator()
    monkeypatch.setattr(authenticator, "authenticate", authenticate)
    async with Keystore.open("memory:", authenticator=authenticator, monitor=False) as keystore:
        error = await refused(keystore.authenticate(bytes(32), "73915x"), code)
    assert error.__cause__ is error.__context__ is None


async def test_an_authenticator_that_fails_is_12000015(
    keystore: Keystore, authenticator: EverybodyAuthenticator
) -> None:
    """Neither a key nor a token without an answer."""
    authenticator.failure = OSError("unreachable")
    await refused(keystore.generateKeyItem("key", options(**GCM_KEY, **PIN_KEY)), 12000015)
    await refused(keystore.generateKeyItem("key", options(**GCM_KEY, IS_DEVICE_PASSWORD_SET=True)), 12000015)
    assert isinstance(await refused(keystore.authenticate(bytes(32), "x"), 12000015), KeyAuthError)
    assert not await keystore.hasKeyItem("key", options())


class Plain:
    """An authenticator of functions without `async`, which give what the other one's give, or raise at once."""

    auth_types = PIN

    def __init__(self) -> None:
        self._asked = EverybodyAuthenticator()
        self._asked.enroll(100)
        self.failure: BaseException | None = None

    def enrolled(self, host: Any, user_id: int) -> Awaitable[Any]:
        if self.failure is not None:
            raise self.failure
        return self._asked.enrolled(host, user_id)

    def authenticate(self, host: Any, request: AuthRequest, credential: Any) -> Awaitable[Any]:
        if self.failure is not None:
            raise self.failure
        return self._asked.authenticate(host, request, credential)


@pytest.mark.parametrize("failure", [KeyError("1"), asyncio.CancelledError()])
async def test_an_authenticator_that_fails_before_it_gives_anything_to_await(failure: BaseException) -> None:
    """Functions without `async` may raise at the call: 12000015 wherever they are asked."""
    plain = Plain()
    async with Keystore.open("memory:", authenticator=plain, monitor=False) as keystore:
        await generate(keystore, IS_DEVICE_PASSWORD_SET=True)
        session = await open_session(keystore)
        token = await keystore.authenticate(session.challenge, "x")
        plain.failure = failure
        await refused(generate(keystore, "other"), 12000015)
        await refused(open_session(keystore), 12000015)
        await refused(keystore.authenticate(session.challenge, "x"), 12000015)
        await refused(finish(keystore, session, token), 12000015)


async def test_without_authenticator_nothing_is_promised() -> None:
    """A keystore that nobody vouches in makes no such key, and opens none that another one made."""
    async with Keystore.open("memory:", monitor=False) as keystore:
        for access in (CLEAR, ALWAYS):
            values = {**PIN_KEY, "KEY_AUTH_ACCESS_TYPE": access}
            await refused(keystore.generateKeyItem("key", options(**GCM_KEY, **values)), 12000013)
        await refused(
            keystore.generateKeyItem("key", options(**GCM_KEY, IS_DEVICE_PASSWORD_SET=True)), 12000016
        )
        await refused(keystore.authenticate(bytes(32), "x"), 12000013)
    async with Keystore.open("memory:", authenticator=PinAuthenticator(), monitor=False) as keystore:
        face = {**PIN_KEY, "USER_AUTH_TYPE": FACE, "KEY_AUTH_ACCESS_TYPE": ALWAYS}
        await refused(keystore.generateKeyItem("key", options(**GCM_KEY, **face)), 12000001)


@pytest.mark.parametrize("profile", ["server", "device"])
async def test_there_is_no_trusted_screen(profile: Any) -> None:
    """A PIN at one alone is 12000001, also where nobody vouches for anybody; with other credentials that is 12000013."""
    async with Keystore.open("memory:", profile=profile, monitor=False) as keystore:
        for auth_type, code in ((TUI, 12000001), (TUI | FACE, 12000013), (PIN, 12000013)):
            values = {**PIN_KEY, "USER_AUTH_TYPE": auth_type, "KEY_AUTH_ACCESS_TYPE": ALWAYS}
            await refused(keystore.generateKeyItem("key", options(**GCM_KEY, **values)), code)
            await refused(keystore.importKeyItem("key", options(bytes(32), **GCM_KEY, **values)), code)
        values = {**PIN_KEY, "USER_AUTH_TYPE": TUI}
        await refused(keystore.generateKeyItem("key", options(**GCM_KEY, **values)), 401)


async def test_keys_outlive_their_authenticator(tmp_path: Any) -> None:
    """A key made with an authenticator, in a keystore without one: sessions open, and no token is good."""
    store = f"sqlite:///{tmp_path}/keys.db"
    authenticator = EverybodyAuthenticator()
    authenticator.enroll(100)
    async with Keystore.open(store, authenticator=authenticator, monitor=False) as keystore:
        await keystore.generateKeyItem("key", options(**GCM_KEY, **PIN_KEY))
        token = await keystore.authenticate(b"", "x")
    async with Keystore.open(store, monitor=False) as keystore:
        await refused(finish(keystore, await open_session(keystore), token), 12000008)


async def test_keys_bound_to_a_user_do_not_work_outside_of_sessions(keystore: Keystore) -> None:
    """The functions on messages, and unwrapping, refuse them with 12000001."""
    await keystore.generateKeyItem("key", options(**GCM_KEY, **PIN_KEY))
    await refused(keystore.seal("key", b"text"), 12000001)
    await refused(keystore.seal("key", b"text"), 12000001)
    await refused(keystore.unseal("key", bytes(100)), 12000001)
    await keystore.generateKeyItem("signer", options(**SIGN_KEY, **PIN_KEY))
    await refused(keystore.sign("signer", b"text"), 12000001)


async def test_service_tags_are_the_keystore_s_own(keystore: Keystore) -> None:
    """Nobody says for whom a key is but the keystore."""
    for tag, value in (
        (0x10000000 | 312, 100),
        (0x50000000 | 10014, bytes(4)),
        (0x50000000 | 10015, bytes(8)),
    ):
        given = {"properties": [*params(**GCM_KEY), {"tag": tag, "value": value}]}
        await refused(keystore.generateKeyItem("key", given), 401)


async def test_wrong_arguments_of_open() -> None:
    """token_keys takes three things."""
    for wrong in ("process", 1, b"x" * 64):
        with pytest.raises(BusinessError):
            Keystore.open("memory:", token_keys=wrong)  # type: ignore[arg-type]
    for mac, cipher in ((b"", b"x" * 32), (b"x" * 32, b"x" * 33)):
        with pytest.raises(BusinessError):
            AuthTokenKeys(mac, cipher)
