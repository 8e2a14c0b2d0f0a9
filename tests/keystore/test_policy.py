"""A keystore with a policy: what is asked, when, and that nothing else is permitted."""

import asyncio
import inspect
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import huks_async as huks
from huks_async import AccessRequest, BusinessError, Caller, Keystore, TablePolicy
from huks_async.access import PinAuthenticator
from huks_async.access.table_policy import FUNCTIONS
from huks_async.keystore.provider_functions import ProviderFunctions
from huks_async.testing import EverybodyAuthenticator
from tests.access import tables
from tests.access.tables import ALIASES, GROUPS, NAMES, USERS, CodePolicy
from tests.keystore.support import AES_CBC, AGREE, DECRYPT, ENCRYPT, A, key, options, params, refused, run

ENCRYPTION = AES_CBC | {"IV": bytes(16), "PURPOSE": ENCRYPT}
DECRYPTION = AES_CBC | {"IV": bytes(16), "PURPOSE": DECRYPT}
BLOCK = b"sixteen bytes ok"
KEYSTORE = Path(__file__).parents[2] / "huks_async" / "keystore"


class Recording:
    """Permits what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[AccessRequest] = []
        self.answer: Any = True

    def may_act_for(self, caller: Caller, user_id: int) -> bool:
        return True

    def groups_of(self, caller: Caller) -> Collection[str]:
        return ("team",)

    def may_use(self, request: AccessRequest) -> Any:
        self.asked.append(request)
        return self.answer() if callable(self.answer) else self.answer

    def taken(self) -> list[tuple[str, str | None, int]]:
        """What was asked since the last look: function, alias, purposes."""
        asked, self.asked = self.asked, []
        return [(request.function, request.alias, request.purposes) for request in asked]


class Narrow(Recording):
    """Permits everything, or keys that sign and verify at level CE alone."""

    narrow = False

    def may_use(self, request: AccessRequest) -> Any:
        super().may_use(request)
        return not self.narrow or (request.level == 1 and not request.purposes & ~(4 | 8))


def test_an_unwrapped_key_is_for_what_the_policy_allows() -> None:
    """Purposes and level stand in the blob alone, so the policy is asked about these, and nothing is stored against it."""
    policy = Narrow()
    allowed = {"IS_ALLOWED_WRAP": True}
    signs = key(A.HUKS_ALG_ECC, 256, 4 | 8, DIGEST=12) | allowed

    async def store_again(keystore: Keystore, made: dict[str, Any], level: dict[str, Any]) -> None:
        policy.narrow = False
        await keystore.generateKeyItem("key", options(**made, **level))
        blob = (await keystore.wrapKeyItem("key", options(KEY_WRAP_TYPE=2, **level))).outData
        policy.narrow = True
        await keystore.unwrapKeyItem("again", options(KEY_WRAP_TYPE=2), blob)

    async def main() -> None:
        async with Keystore.open(
            "memory:", policy=policy, wrapping_key=huks.EphemeralRootKey(), monitor=False
        ) as keystore:
            await refused(store_again(keystore, AES_CBC | allowed, {}), 201)
            await refused(store_again(keystore, signs, {"AUTH_STORAGE_LEVEL": 0}), 201)
            policy.narrow = False
            assert not await keystore.hasKeyItem("again", options())
            assert not await keystore.hasKeyItem("again", options(AUTH_STORAGE_LEVEL=0))
            await store_again(keystore, signs, {})
            assert policy.taken()[-1] == ("unwrapKeyItem", "again", 4 | 8)
            policy.narrow = False
            assert await keystore.hasKeyItem("again", options())

    asyncio.run(main())


def test_every_function_asks_about_its_keys() -> None:
    """Function, alias and purposes, for each documented function on keys; those of a user with `AsUser`."""
    kem = key(A.HUKS_ALG_ML_KEM, 768, 96)
    pair = key(A.HUKS_ALG_X25519, 256, AGREE)
    policy = Recording()

    async def main() -> None:
        async with Keystore.open(
            "memory:", policy=policy, wrapping_key=huks.EphemeralRootKey(), monitor=False
        ) as keystore:
            await keystore.generateKeyItem("aes", options(**AES_CBC | {"IS_ALLOWED_WRAP": True}))
            await keystore.importKeyItem("in", options(bytes(32), **AES_CBC))
            await keystore.hasKeyItem("in", options())
            await keystore.isKeyItemExist("in", options())
            await keystore.getKeyItemProperties("in", options())
            await keystore.listAliases(options())
            await keystore.deleteKeyItem("in", options())
            assert policy.taken() == [
                ("generateKeyItem", "aes", 3),
                ("importKeyItem", "in", 3),
                ("hasKeyItem", "in", 0),
                ("isKeyItemExist", "in", 0),
                ("getKeyItemProperties", "in", 0),
                ("listAliases", None, 0),
                ("deleteKeyItem", "in", 0),
            ]
            blob = (await keystore.wrapKeyItem("aes", options(KEY_WRAP_TYPE=2))).outData
            await keystore.unwrapKeyItem("back", options(KEY_WRAP_TYPE=2), blob)
            await refused(keystore.importWrappedKeyItem("new", "old", options(b"x", **AES_CBC)), 12000002)
            await refused(
                keystore.importWrappedKeyItem(
                    "new", "old", options(b"x", **AES_CBC, UNWRAP_ALGORITHM_SUITE=5)
                ),
                401,
            )
            assert policy.taken() == [
                ("wrapKeyItem", "aes", 0),
                ("unwrapKeyItem", "back", 3),
                ("importWrappedKeyItem", "old", 64),
                ("importWrappedKeyItem", "new", 3),
                ("importWrappedKeyItem", "old", 2),
                ("importWrappedKeyItem", "new", 3),
            ]
            await keystore.generateKeyItem("kem", options(**kem))
            own = params(ALGORITHM=A.HUKS_ALG_ML_KEM)
            sealed = (await keystore.encapsulate("kem", own, "s1", params(**AES_CBC))).outData
            await keystore.decapsulate("kem", own, sealed)
            await keystore.generateKeyItem("pair", options(**pair))
            public = (await keystore.exportKeyItem("pair", options())).outData
            attested = options(ATTESTATION_CHALLENGE=b"c")
            await keystore.attestKeyItem("pair", attested)
            await keystore.anonAttestKeyItem("pair", attested)
            await keystore.anonAttestKeyItemOffline("pair", attested["properties"])
            assert policy.taken() == [
                ("generateKeyItem", "kem", 96),
                ("encapsulate", "s1", 3),
                ("encapsulate", "kem", 32),
                ("decapsulate", "kem", 64),
                ("generateKeyItem", "pair", 256),
                ("exportKeyItem", "pair", 0),
                ("attestKeyItem", "pair", 0),
                ("anonAttestKeyItem", "pair", 0),
                ("anonAttestKeyItemOffline", "pair", 0),
            ]
            for stored in ({}, AES_CBC | {"KEY_ALIAS": b"agreed", "DERIVED_AGREED_KEY_STORAGE_FLAG": 2}):
                opened = await keystore.initSession("pair", options(**pair))
                await keystore.updateSession(opened.handle, options(public))
                await keystore.finishSession(opened.handle, options(**stored))
            assert policy.taken() == [
                ("initSession", "pair", 256),
                ("initSession", "pair", 256),
                ("finishSession", "agreed", 3),
            ]
            await keystore.generateKeyItemAsUser(101, "aes", options(**AES_CBC))
            await run(keystore, "aes", BLOCK, user=101, **ENCRYPTION)
            tag = [{"tag": huks.InnerTag.SPECIFIC_USER_ID, "value": 101}]
            await keystore.hasKeyItem("aes", {"properties": tag})
            await keystore.generateKeyItem(
                "aes", options(**AES_CBC, KEY_ACCESS_GROUP=b"team", AUTH_STORAGE_LEVEL=0)
            )
            assert policy.asked[0] == AccessRequest(
                Caller("default", 100), "generateKeyItemAsUser", "aes", 3, "default", 101, None, 1
            )
            assert policy.asked[3] == AccessRequest(
                Caller("default", 100), "generateKeyItem", "aes", 3, "default", 100, "team", 0
            )
            assert [name for name, *_ in policy.taken()] == [
                "generateKeyItemAsUser", "initSessionAsUser", "hasKeyItemAsUser", "generateKeyItem",
            ]  # fmt: skip

    anyio.run(main)


def test_the_functions_a_table_knows_are_those_that_ask() -> None:
    """A name in one list alone would be a rule without effect, or a call that no rule permits."""
    source = "".join(path.read_text() for path in KEYSTORE.glob("*_functions.py"))
    assert [name for name in FUNCTIONS if f'"{name}"' not in source] == []


# the operator's: they work on the store as a whole, or on what is open; those on external providers work on resources
ASKS_NOBODY = {
    "aopen", "aclose", "backup", "monitor_low_memory", "purge_stale_sessions", "attestation_root", "seal_to",
    "authenticate",  # `may_authenticate`, as it is about a user and no key
    "updateSession", "finishSession", "abortSession", "update", "finish", "abort",
}  # fmt: skip


@pytest.mark.parametrize("owner", ["keystore", "caller"])
def test_no_function_goes_around_the_policy(owner: str) -> None:
    """Each that works with a key, documented or not, is refused where the policy says no, and leaves nothing."""
    policy = Recording()
    given_arguments: dict[str, Any] = {
        "keyAlias": "k", "alias": "k", "wrappingKeyAlias": "k", "userId": 101, "data": b"d", "context": b"c",
        "sealed": bytes(100), "signature": b"s", "tag": b"t", "length": 16, "encapData": bytes(1088),
        "options": options(bytes(32), **AES_CBC), "huksOptions": options(**AES_CBC),
    }  # fmt: skip

    async def main() -> None:
        async with Keystore.open(
            "memory:", policy=policy, wrapping_key=huks.EphemeralRootKey(), monitor=False
        ) as own:
            keystore: Any = own.for_caller("a") if owner == "caller" else own
            for alias, values in (("k", AES_CBC), ("pair", key(A.HUKS_ALG_X25519, 256, AGREE))):
                await keystore.generateKeyItem(alias, options(**values))
            await keystore.generateKeyItem("w", options(**AES_CBC | {"IS_ALLOWED_WRAP": True}))
            wrapped = await keystore.wrapKeyItem("w", options(KEY_WRAP_TYPE=2))
            given_arguments["wrappedKey"] = wrapped.outData
            policy.answer = False
            tried, asked = 0, {"finishSession"}  # only for a result that is stored as a key
            for name, function in inspect.getmembers(keystore, inspect.iscoroutinefunction):
                if name.startswith("_") or name in ASKS_NOBODY or hasattr(ProviderFunctions, name):
                    continue
                wants_list = name in ("encapsulate", "decapsulate") or name.startswith(
                    "anonAttestKeyItemOffline"
                )
                wrap = {"KEY_WRAP_TYPE": 2} if "wrapKeyItem" in name else {}
                more = {"params": params(ATTESTATION_CHALLENGE=b"c") if wants_list else options(**wrap)}
                names = inspect.signature(function).parameters
                arguments = {each: value for each, value in (given_arguments | more).items() if each in names}
                policy.asked.clear()
                try:
                    result = await function(**arguments)
                except BusinessError as error:
                    assert error.code == 201, (name, error)
                else:  # the oldest functions tell their failures by a number
                    assert name in {*LEGACY}, (name, result)
                    assert result is False or result.errorCode == -5, (name, result)
                assert policy.asked, name
                asked |= {request.function.removesuffix("AsUser") for request in policy.asked}
                tried += 1
            assert tried >= 40
            assert asked == {*FUNCTIONS}
            assert own.statistics().open == 0
            policy.answer = True
            assert (await keystore.listAliases(options())).keyAliases == ["k", "pair", "w"]

    anyio.run(main)


class Doorkeeper(Recording):
    """Also asked who may have whom authenticated."""

    may: Any = True

    def may_authenticate(self, caller: Caller, user_id: int) -> Any:
        self.asked.append((caller, user_id))
        return self.may


def test_who_may_have_whom_authenticated() -> None:
    """A policy that knows the question is asked before a guess is counted; one that does not changes nothing."""

    async def main() -> None:
        vouching = EverybodyAuthenticator()
        vouching.enroll(100)
        vouching.enroll(101)
        policy: Any = Doorkeeper()
        async with Keystore.open("memory:", policy=policy, authenticator=vouching, monitor=False) as keystore:
            caller = keystore.for_caller("a", user_id=101)
            assert len(await caller.authenticate(b"", "x")) == 280
            assert len(await caller.authenticate(b"", "x", user_id=100)) == 280
            assert policy.asked == [(Caller("a", 101), 101), (Caller("a", 101), 100)]
            for policy.may, code in ((False, 201), (1, 201), (None, 201)):
                await refused(caller.authenticate(b"", "x"), code)
                await refused(keystore.authenticate(b"", "x"), code)
            assert len(vouching.requests) == 2
        async with Keystore.open(
            "memory:", policy=Recording(), authenticator=vouching, monitor=False
        ) as keystore:
            assert len(await keystore.for_caller("a", user_id=101).authenticate(b"", "x")) == 280

    asyncio.run(main())


def test_strangers_to_a_table_lock_nobody_out() -> None:
    """Who has no entry for the user tries no PIN of it; who has one for another user alone neither."""
    policy = TablePolicy(
        {"version": 1, "callers": {"default": {}, "b": {"users": ["200-299"], "as_user": {"users": [100]}}}}
    )

    async def main() -> None:
        pin = PinAuthenticator()
        async with Keystore.open("memory:", policy=policy, authenticator=pin, monitor=False) as keystore:
            await pin.enroll(keystore, 100, "1234")
            for name in ("stranger", "b"):
                for _ in range(6):
                    await refused(keystore.for_caller(name, user_id=100).authenticate(b"", "0000"), 201)
            await refused(keystore.for_caller("b", user_id=200).authenticate(b"", "0000", user_id=101), 201)
            assert await keystore.authenticate(b"", "1234")
            assert await keystore.for_caller("b", user_id=200).authenticate(b"", "1234", user_id=100)

    asyncio.run(main())
    assert policy.may_register_providers(Caller("default", 100))
    assert not policy.may_register_providers(Caller("stranger", 100))


LEGACY = ("generateKey", "deleteKey", "importKey", "exportKey", "getKeyProperties", "isKeyExist", "init")


def test_messages_are_their_callers() -> None:
    """One call a message, each with the key of its caller, also when the same alias was just used by another."""

    async def main() -> None:
        async with Keystore.open("memory:", monitor=False) as keystore:
            gcm = key(A.HUKS_ALG_AES, 256, 3, BLOCK_MODE=32, PADDING=0)
            mac = key(A.HUKS_ALG_HMAC, 256, 128, DIGEST=12)
            for name in "ab":
                async with huks.as_caller(name):
                    await keystore.generateKeyItem("k", options(**gcm))
                    await keystore.generateKeyItem("m", options(**mac))
            for _ in range(3):
                async with huks.as_caller("a"):
                    sealed, code = await keystore.seal("k", b"text"), await keystore.mac("m", b"text")
                    assert await keystore.unseal("k", sealed) == b"text"
                async with huks.as_caller("b"):
                    await refused(keystore.unseal("k", sealed), 12000006)
                    assert await keystore.mac("m", b"text") != code
                await refused(keystore.unseal("k", sealed), 12000011)
                await refused(keystore.mac("m", b"text"), 12000011)

    asyncio.run(main())


def test_messages_ask_for_what_their_key_does() -> None:
    """Once a call, as a session of that purpose."""
    policy = Recording()

    async def main() -> None:
        async with Keystore.open("memory:", policy=policy, monitor=False) as keystore:
            gcm = key(A.HUKS_ALG_AES, 256, 3, BLOCK_MODE=32, PADDING=0)
            await keystore.generateKeyItem("k", options(**gcm))
            await keystore.generateKeyItem("pair", options(**key(A.HUKS_ALG_X25519, 256, AGREE)))
            public = (await keystore.exportKeyItem("pair", options())).outData
            for _ in range(3):
                policy.asked.clear()
                sealed = await keystore.seal("k", b"text")
                assert policy.taken() == [("initSession", "k", 1)]
                assert await keystore.unseal("k", sealed) == b"text"
                assert policy.taken() == [("initSession", "k", 2)]
                policy.answer = False
                await refused(keystore.seal("k", b"text"), 201)
                await refused(keystore.unseal("k", sealed), 201)
                policy.answer = True
                sealed = await keystore.seal_to(public, b"text")
                policy.asked.clear()
                await keystore.unseal("pair", sealed)
                assert policy.taken() == [("initSession", "pair", 256)]

    asyncio.run(main())


@pytest.mark.parametrize("callers", [False, True])
def test_a_session_is_asked_about_once(callers: bool) -> None:
    """At init, also where the same list of parameters is passed each time; never at update, finish or abort."""
    policy = Recording()
    session = options(**ENCRYPTION)

    async def main() -> None:
        async with Keystore.open("memory:", policy=policy, monitor=False) as own:
            keystore: Any = own.for_caller("a") if callers else own
            await keystore.generateKeyItem("k", options(**AES_CBC))
            policy.asked.clear()
            for _ in range(5):
                handle = (await keystore.initSession("k", session)).handle
                assert policy.taken() == [("initSession", "k", 1)]
                policy.answer = False
                await keystore.updateSession(handle, options(BLOCK))
                await keystore.finishSession(handle, {"inData": BLOCK})
                assert policy.taken() == []
                await refused(keystore.initSession("k", session), 201)
                assert policy.taken() == [("initSession", "k", 1)]
                policy.answer = True
            handle = (await keystore.initSession("k", session)).handle
            policy.answer = False
            await keystore.abortSession(handle, options())
            assert policy.taken() == [("initSession", "k", 1)]

    asyncio.run(main())


def test_answers_are_kept_where_the_policy_says_so() -> None:
    """For so long and for equal requests alone, refusals too."""
    now = [0.0]

    class Kept(Recording):
        cache_seconds = 10.0

    policy = Kept()

    async def main() -> None:
        async with Keystore.open("memory:", policy=policy, monitor=False, clock=lambda: now[0]) as keystore:
            for _ in range(3):
                await keystore.hasKeyItem("k", options())
            await keystore.hasKeyItem("l", options())
            await keystore.for_caller("a").hasKeyItem("k", options())
            assert len(policy.taken()) == 3
            policy.answer = False
            now[0] = 9.9
            await keystore.hasKeyItem("k", options())
            now[0] = 10.1
            await refused(keystore.hasKeyItem("k", options()), 201)
            policy.answer = True
            await refused(keystore.hasKeyItem("k", options()), 201)
            assert len(policy.taken()) == 1
            now[0] = 21.0
            await keystore.hasKeyItem("k", options())

    asyncio.run(main())
    for wrong in (-1, "1", None, float("nan"), True):
        policy.cache_seconds = wrong  # type: ignore[assignment]
        with pytest.raises(BusinessError, match="401: policy: cache_seconds"):
            Keystore.open("memory:", policy=policy)


class Truthy:
    """Would pass for a yes in an `if`."""

    def __bool__(self) -> bool:
        return True


def fail() -> bool:
    raise RuntimeError("secret detail")


async def wait() -> bool:
    return True


@pytest.mark.parametrize(
    ("answer", "code"),
    [(False, 201), (None, 201), (1, 201), ("yes", 201), (Truthy(), 201), (fail, 12000012), (wait, 12000012)],
)
def test_only_a_plain_yes_permits(answer: Any, code: int) -> None:
    """A policy that fails, waits or gives something else permits nothing, and its failure is not shown in full."""
    policy = Recording()

    async def main() -> None:
        async with Keystore.open("memory:", policy=policy, monitor=False) as keystore:
            await keystore.generateKeyItem("k", options(**AES_CBC))
            policy.answer = answer
            for call in (
                keystore.initSession("k", options(**ENCRYPTION)),
                keystore.generateKeyItem("l", options(**AES_CBC)),
                keystore.deleteKeyItem("k", options()),
                keystore.listAliases(options()),
            ):
                assert "secret" not in (await refused(call, code)).message
            policy.answer = True
            assert (await keystore.listAliases(options())).keyAliases == ["k"]
            assert keystore.statistics().open == 0

    asyncio.run(main())


def test_a_denial_says_what_was_asked(caplog: pytest.LogCaptureFixture) -> None:
    """201 with caller, function, purposes, alias and whose keys; the same goes to the log."""
    table = {"version": 1, "callers": {"a": {"keys": [{"alias": "x"}], "groups": ["team"]}}}

    async def main() -> None:
        async with Keystore.open("memory:", policy=TablePolicy(table), monitor=False) as keystore:
            async with huks.as_caller("a", 101):
                error = await refused(
                    keystore.initSession("k", options(**ENCRYPTION | {"PURPOSE": 515})), 201
                )
                assert (
                    "'a' of user 101: initSession (encrypt, decrypt, 512) on 'k' in 'a' at level CE"
                    in error.message
                )
                error = await refused(
                    keystore.generateKeyItem("k", options(**AES_CBC, KEY_ACCESS_GROUP=b"team")), 201
                )
                assert (
                    "generateKeyItem (encrypt, decrypt) on 'k' of the group 'team' at level CE"
                    in error.message
                )
                await refused(
                    keystore.generateKeyItem("x", options(**AES_CBC, KEY_ACCESS_GROUP=b"else")), 12000018
                )
                error = await refused(keystore.hasKeyItemAsUser(102, "x", options()), 201)
                assert "acting for user 102" in error.message
            async with huks.as_caller("a", namespace="b"):
                error = await refused(keystore.listAliases(options()), 201)
                assert "keys of the namespace 'b'" in error.message
            await refused(
                keystore.listAliases(options()), 201
            )  # the keystore's own caller is not in the table

    with caplog.at_level(logging.INFO, "huks_async.access"):
        asyncio.run(main())
    assert len(caplog.records) == 6
    assert "denied: 'a' of user 101: initSession (encrypt" in caplog.text


def test_a_policy_of_two_methods_goes_on_as_before() -> None:
    """It is not asked about own keys, and lets nobody into another namespace."""

    class Old:
        def may_act_for(self, caller: Caller, user_id: int) -> bool:
            return user_id == 101

        def groups_of(self, caller: Caller) -> Collection[str]:
            return ()

    async def main() -> None:
        for policy in (Old(), None):
            async with Keystore.open("memory:", policy=policy, monitor=False) as keystore:
                await keystore.generateKeyItem("k", options(**AES_CBC))
                await run(keystore, "k", BLOCK, **ENCRYPTION)
                foreign = keystore.for_caller("a", namespace="default")
                for call in (
                    foreign.hasKeyItem("k", options()),
                    foreign.initSession("k", options(**ENCRYPTION)),
                    foreign.listAliases(options()),
                ):
                    await refused(call, 201)

    asyncio.run(main())


def test_a_caller_in_another_namespace() -> None:
    """It reaches that namespace's keys as far as the policy says; sessions stay its own."""
    table = {
        "version": 1,
        "callers": {
            "owner": {},
            "guest": {"namespaces": ["owner"], "keys": [{"alias": "k", "purposes": ["encrypt"], "functions": ["initSession"]}]},
        },
    }  # fmt: skip

    async def main() -> None:
        async with Keystore.open("memory:", policy=TablePolicy(table), monitor=False) as keystore:
            owner, guest = keystore.for_caller("owner"), keystore.for_caller("guest", namespace="owner")
            await owner.generateKeyItem("k", options(**AES_CBC))
            session = options(**ENCRYPTION)
            for _ in range(3):
                sealed = await run(owner, "k", BLOCK, **ENCRYPTION)  # type: ignore[arg-type]
                handle = (await guest.initSession("k", session)).handle
                await refused(owner.updateSession(handle, options(BLOCK)), 12000011)
                away = keystore.for_caller("guest")
                assert (await away.finishSession(handle, options(BLOCK))).outData == sealed
                await refused(guest.initSession("k", options(**DECRYPTION)), 201)
                await refused(guest.deleteKeyItem("k", options()), 201)
                await refused(keystore.for_caller("guest", namespace="else").initSession("k", session), 201)
                await refused(
                    keystore.for_caller("guest", 101, namespace="owner").initSession("k", session), 12000011
                )

    asyncio.run(main())


calls = st.tuples(
    st.sampled_from(NAMES),  # the caller
    st.sampled_from(USERS[:2]),
    st.none() | st.sampled_from(NAMES),  # the namespace it works in
    st.none() | st.sampled_from(USERS),  # the user it acts for
    st.none() | st.sampled_from(GROUPS),
    st.sampled_from([0, 1]),
    st.sampled_from(["import", "has", "encrypt", "decrypt", "delete", "list"]),
    st.sampled_from(ALIASES[:3]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(tables.tables, st.lists(calls, min_size=5, max_size=40), st.booleans())
def test_a_keystore_does_what_the_model_allows(
    table: dict[str, Any], given_calls: Any, as_data: bool
) -> None:
    """Random policies, as data and as code, random callers and calls: permissions and keys are those of the model."""
    code = CodePolicy(table)
    keys: dict[tuple[Any, ...], bytes] = {}

    def predict(
        caller: Caller, within: str, user: int | None, group: str | None, level: int, kind: str, alias: str
    ) -> Any:
        if within != caller.namespace and within not in code.namespaces_of(caller):
            return 201
        if user is not None:
            if not code.may_act_for(caller, user):
                return 201
            if group is not None:
                return 12000001
        elif group is not None and group not in code.groups_of(caller):
            return 12000018
        function, purposes = {
            "import": ("importKeyItem", 3), "has": ("hasKeyItem", 0), "encrypt": ("initSession", 1),
            "decrypt": ("initSession", 2), "delete": ("deleteKeyItem", 0), "list": ("listAliases", 0),
        }[kind]  # fmt: skip
        meant = caller.user_id if user is None else user
        request = AccessRequest(
            caller, function + ("" if user is None else "AsUser"), None if kind == "list" else alias, purposes,
            within, meant, group, level,
        )  # fmt: skip
        if not code.may_use(request):
            return 201
        place = ("group", group, caller.user_id, level) if group is not None else (within, meant, level)
        if kind == "import":
            keys[*place, alias] = bytes([len(keys)]) * 32
            return None
        if kind == "list":
            return sorted(name for *where, name in keys if tuple(where) == place)
        if kind == "has":
            return (*place, alias) in keys
        if (*place, alias) not in keys:
            return 12000011
        return keys.pop((*place, alias)) and None if kind == "delete" else keys[*place, alias]

    async def attempt(keystore: Any, call: Any, expected: Any, material: bytes) -> Any:
        name, user_id, within, user, group, level, kind, alias = call
        more: dict[str, Any] = {"AUTH_STORAGE_LEVEL": level}
        if group is not None:
            more["KEY_ACCESS_GROUP"] = group.encode()
        tag = [] if user is None else [{"tag": huks.InnerTag.SPECIFIC_USER_ID, "value": user}]

        def given_options(data: bytes = b"", **values: Any) -> dict[str, Any]:
            made = options(data, **values, **more)
            made["properties"] += tag
            return made

        async with huks.as_caller(name, user_id, namespace=within):
            try:
                if kind == "import":
                    return await keystore.importKeyItem(alias, given_options(material, **AES_CBC))
                if kind == "has":
                    return await keystore.hasKeyItem(alias, given_options())
                if kind == "delete":
                    return await keystore.deleteKeyItem(alias, given_options())
                if kind == "list":
                    return (await keystore.listAliases(given_options())).keyAliases
                session = ENCRYPTION if kind == "encrypt" else DECRYPTION
                opened = await keystore.initSession(alias, given_options(**session))
                out = (await keystore.finishSession(opened.handle, {"inData": BLOCK})).outData
            except BusinessError as error:
                return error.code
        assert isinstance(expected, bytes), expected
        return expected if out == cipher(expected, kind) else out

    async def main() -> None:
        policy = TablePolicy(table) if as_data else code
        async with Keystore.open("memory:", policy=policy, monitor=False) as keystore:
            for call in given_calls:
                name, user_id, within, user, group, level, kind, alias = call
                material = bytes([len(keys)]) * 32
                expected = predict(Caller(name, user_id), within or name, user, group, level, kind, alias)
                assert await attempt(keystore, call, expected, material) == expected, call

    asyncio.run(main())


def cipher(material: bytes, kind: str) -> bytes:
    """What `cryptography` makes of the block."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    both = Cipher(algorithms.AES(material), modes.CBC(bytes(16)))
    one = both.encryptor() if kind == "encrypt" else both.decryptor()
    return one.update(BLOCK) + one.finalize()
