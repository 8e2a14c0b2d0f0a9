"""Options that repeat: what was learnt from an earlier session never hides a change of the later ones."""

import copy
from decimal import Decimal

import anyio
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

import huks_async as huks
from huks_async import HuksTag as Tag
from huks_async.stores.memory import MemoryStore
from tests.adversity import remembered_options

KEY = bytes(range(32))
NONCE = b"twelve bytes"
AAD = b"header"
DATA = b"data"

NUMBERS = {
    Tag.HUKS_TAG_ALGORITHM: huks.HuksKeyAlg.HUKS_ALG_AES,
    Tag.HUKS_TAG_KEY_SIZE: 256,
    Tag.HUKS_TAG_PURPOSE: 1,
    Tag.HUKS_TAG_PADDING: 0,
    Tag.HUKS_TAG_BLOCK_MODE: huks.HuksCipherMode.HUKS_MODE_GCM,
}
BLOBS = {Tag.HUKS_TAG_NONCE: NONCE, Tag.HUKS_TAG_ASSOCIATED_DATA: AAD}


FORMS = [pytest.param(dict, id="mappings"), pytest.param(huks.HuksParam, id="objects")]


def listed(*sets, form=dict):
    """Parameters as new mappings, or objects, around the same tags and values."""
    return [form(tag=tag, value=value) for each in sets for tag, value in each.items()]


def put(param, **changes):
    """Change a parameter of either form."""
    for name, value in changes.items():
        if type(param) is dict:
            param[name] = value
        else:
            setattr(param, name, value)


async def import_key(keystore, key=KEY):
    """An AES key that encrypts and decrypts."""
    both = NUMBERS | {Tag.HUKS_TAG_PURPOSE: 3}
    await keystore.importKeyItem("key", {"properties": listed(both), "inData": key})


async def seal(keystore, properties):
    """What one session gives."""
    session = await keystore.initSession("key", {"properties": properties})
    return (await keystore.finishSession(session.handle, {"inData": DATA})).outData


async def outcome(keystore, properties):
    """The output or the code of the error."""
    try:
        return await seal(keystore, properties)
    except huks.BusinessError as error:
        return error.code


def use(main, **arguments):
    """Run `main` with a keystore that has the key."""

    async def run():
        async with huks.Keystore.open("memory:", **arguments) as keystore:
            await import_key(keystore)
            return await main(keystore)

    return anyio.run(run)


@pytest.mark.parametrize("form", FORMS)
def test_each_session_has_its_own_bytes(form):
    """Nonce and associated data are those of the session at hand, under both names of the tag."""

    async def main(keystore):
        for turn in range(6):
            nonce, aad = bytes([turn]) * 12, bytes([turn]) * (turn + 1)
            for tag in (Tag.HUKS_TAG_ASSOCIATED_DATA, Tag.HUKS_TAG_AAD):
                blobs = {Tag.HUKS_TAG_NONCE: nonce, tag: aad}
                sealed = await seal(keystore, listed(NUMBERS, blobs, form=form))
                assert sealed == AESGCM(KEY).encrypt(nonce, DATA, aad)
                blobs[tag] = AAD
                assert await seal(keystore, listed(NUMBERS, blobs, form=form)) == AESGCM(KEY).encrypt(
                    nonce, DATA, AAD
                )

    use(main)


@pytest.mark.parametrize("form", FORMS)
def test_a_list_that_its_caller_changes_is_read_again(form):
    """Tags, values and length are looked at each time, though the list and what is in it are the same objects."""

    async def main(keystore):
        properties = listed(NUMBERS, BLOBS, form=form)
        sealed = [await seal(keystore, properties) for _ in range(3)]
        assert sealed == [AESGCM(KEY).encrypt(NONCE, DATA, AAD)] * 3
        put(properties[6], value=b"another header")
        assert await seal(keystore, properties) == AESGCM(KEY).encrypt(NONCE, DATA, b"another header")
        put(properties[6], value=bytearray(b"a buffer"))
        assert await seal(keystore, properties) == AESGCM(KEY).encrypt(NONCE, DATA, b"a buffer")
        put(properties[2], value=2)
        properties.append(form(tag=Tag.HUKS_TAG_AE_TAG, value=bytes(16)))
        assert await outcome(keystore, properties) == 12000006  # decrypts now
        put(properties[2], value=1)
        del properties[7:], properties[5:]
        assert len(await seal(keystore, properties)) == len(DATA) + 16 + 12
        put(properties[3], tag=Tag.HUKS_TAG_DIGEST)
        assert await outcome(keystore, properties) == 401

    use(main)


class WaitingStore(MemoryStore):
    """Runs something while a row is read."""

    def __init__(self):
        super().__init__()
        self.meanwhile = lambda: None

    async def get(self, name):
        self.meanwhile()
        return await super().get(name)


@pytest.mark.parametrize(
    "change",
    [
        lambda properties: put(properties[4], value=huks.HuksCipherMode.HUKS_MODE_CCM),
        lambda properties: put(properties[4], value=32.0),
        lambda properties: put(properties[5], value=0),
        lambda properties: put(properties[5], tag=Tag.HUKS_TAG_IS_KEY_ALIAS),
        lambda properties: put(properties[7], tag=Tag.HUKS_TAG_IV),
        lambda properties: properties.__setitem__(6, properties[7]),
        lambda properties: properties.__delitem__(7),
        lambda properties: properties.append(properties[6]),
    ],
    ids=["number", "type", "type of a bool", "tag", "tag of bytes", "bytes twice", "fewer", "more"],
)
@pytest.mark.parametrize("form", FORMS)
def test_a_list_that_its_caller_changes_while_its_key_is_read(change, form):
    """The next session with the list has the parameters that it holds then."""
    store, root_key = WaitingStore(), huks.EphemeralRootKey()
    any_mode = {tag: NUMBERS[tag] for tag in NUMBERS if tag != Tag.HUKS_TAG_BLOCK_MODE}
    flag = {Tag.HUKS_TAG_KEY_OVERRIDE: False}

    async def main():
        async with (
            huks.Keystore.open(store, root_key) as keystore,
            huks.Keystore.open(store, root_key) as other,
        ):
            made_for = listed(any_mode | {Tag.HUKS_TAG_PURPOSE: 3})
            await other.importKeyItem("key", {"properties": made_for, "inData": KEY})
            properties = listed(NUMBERS, flag, BLOBS, form=form)
            store.meanwhile = lambda: change(properties)
            assert await seal(keystore, properties) == AESGCM(KEY).encrypt(NONCE, DATA, AAD)
            store.meanwhile = lambda: None
            assert await outcome(keystore, properties) == await outcome(keystore, tuple(properties))

    anyio.run(main)


def test_parameters_of_a_key_that_change_while_its_name_is_looked_for():
    """The next key that is made with the list is of the size that it says then."""
    store = WaitingStore()

    async def main():
        async with huks.Keystore.open(store) as keystore:
            made_for = {tag: NUMBERS[tag] for tag in list(NUMBERS)[:3]}
            properties = listed(made_for, {Tag.HUKS_TAG_KEY_OVERRIDE: False})
            store.meanwhile = lambda: properties[1].update(value=128)
            await keystore.generateKeyItem("first", {"properties": properties})
            store.meanwhile = lambda: None
            await keystore.generateKeyItem("second", {"properties": properties})
            for alias, size in (("first", 256), ("second", 128)):
                stored = (await keystore.getKeyItemProperties(alias, {"properties": []})).properties
                assert huks.HuksParam(Tag.HUKS_TAG_KEY_SIZE, size) in stored

    anyio.run(main)


class Alike:
    """No parameter, but with the attributes of one."""

    def __init__(self, tag, value):
        self.tag, self.value = tag, value


class Changing(huks.HuksParam):
    """A parameter whose value is another one at each look."""

    @property
    def value(self):
        self.looks = getattr(self, "looks", 0) + 1
        return 1 if self.looks > 1 else 2

    @value.setter
    def value(self, value):
        pass


def test_what_only_looks_like_a_known_list_is_judged_by_itself():
    """Objects of other classes with the same tags and values, alone or among the right ones, and mixed forms."""

    async def main(keystore):
        right = listed(NUMBERS, BLOBS, form=huks.HuksParam)
        expected = AESGCM(KEY).encrypt(NONCE, DATA, AAD)
        for _ in range(3):
            assert await seal(keystore, listed(NUMBERS, BLOBS)) == expected
            assert await seal(keystore, right) == expected
        for place in range(len(right)):
            tag, value = right[place].tag, right[place].value
            for other, outcomes in ((Alike(tag, value), {401}), ({"tag": tag, "value": value}, {expected})):
                changed = [*right[:place], other, *right[place + 1 :]]
                assert {await outcome(keystore, changed) for _ in range(3)} == outcomes
        assert await outcome(keystore, listed(NUMBERS, BLOBS, form=Alike)) == 401
        purpose = list(NUMBERS).index(Tag.HUKS_TAG_PURPOSE)
        changed = [*right[:purpose], Changing(Tag.HUKS_TAG_PURPOSE, 1), *right[purpose + 1 :]]
        assert [await outcome(keystore, changed) for _ in range(3)] == [401, expected, expected]
        assert await seal(keystore, right) == expected

    use(main)


@pytest.mark.parametrize("lost", ["properties", "inData"])
def test_options_without_one_of_their_attributes_are_refused(lost):
    """401, as for other objects of the caller that raise when they are read."""

    async def main(keystore):
        options = huks.HuksOptions(listed(NUMBERS, BLOBS), b"")
        delattr(options, lost)
        handle = (await keystore.initSession("key", {"properties": listed(NUMBERS, BLOBS)})).handle
        for name, argument in (
            ("initSession", "key"),
            ("updateSession", handle),
            ("finishSession", handle),
            ("isKeyItemExist", "key"),
        ):
            if (name, lost) == ("initSession", "inData"):
                continue  # not read there
            with pytest.raises(huks.BusinessError) as caught:
                await getattr(keystore, name)(argument, options)
            assert caught.value.code == 401

    use(main)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [True, 1.0, Decimal(1), "1", None, b"1", 1 + 0j])
def test_a_number_of_another_type_is_refused_before_and_after(value, form):
    """What equals the right number is not the right number, however often that one was seen."""

    async def main(keystore):
        wrong = listed(NUMBERS | {Tag.HUKS_TAG_PURPOSE: value}, BLOBS, form=form)
        assert await outcome(keystore, wrong) == 401
        for _ in range(3):
            await seal(keystore, listed(NUMBERS, BLOBS, form=form))
        assert await outcome(keystore, wrong) == 401

    use(main)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [None, "twelve bytes", 12, [1], bytes(4 * 1024 * 1024)])
def test_bytes_of_another_type_or_size_are_refused_before_and_after(value, form):
    """Text and numbers where bytes belong, and more bytes than a set of parameters takes."""

    async def main(keystore):
        wrong = listed(NUMBERS, BLOBS | {Tag.HUKS_TAG_ASSOCIATED_DATA: value}, form=form)
        assert await outcome(keystore, wrong) == 401
        for _ in range(3):
            await seal(keystore, listed(NUMBERS, BLOBS, form=form))
        assert await outcome(keystore, wrong) == 401

    use(main)


@pytest.mark.parametrize("address", ["memory:", "sqlite"])
def test_a_replaced_key_is_used_at_once_and_a_deleted_one_never(address, tmp_path):
    """The same list after the key has changed; `stale_race` does so from two processes."""

    async def main():
        store = address if address == "memory:" else f"sqlite:///{tmp_path}/keystore.db"
        async with huks.Keystore.open(store) as keystore:
            properties = listed(NUMBERS, BLOBS)
            for turn in range(5):
                key = bytes([turn]) * 32
                await import_key(keystore, key)
                for _ in range(3):
                    assert await seal(keystore, properties) == AESGCM(key).encrypt(NONCE, DATA, AAD)
            await keystore.deleteKeyItem("key", {"properties": []})
            assert await outcome(keystore, properties) == 12000011

    anyio.run(main)


@pytest.mark.parametrize("form", FORMS)
def test_calls_may_repeat_the_parameters_of_their_session(form):
    """As programs for devices do: the same list, or the same objects in another, in each of the calls."""

    async def main(keystore):
        properties = listed(NUMBERS, BLOBS, form=form)
        whole = AESGCM(KEY).encrypt(NONCE, DATA * 3, AAD)
        for repeated in (properties, list(properties), listed(NUMBERS, BLOBS, form=form), tuple(properties)):
            handle = (await keystore.initSession("key", {"properties": properties})).handle
            parts = [
                (await call(handle, options)).outData
                for call, options in (
                    (keystore.updateSession, {"properties": repeated, "inData": DATA}),
                    (keystore.updateSession, huks.HuksOptions(repeated, DATA)),
                    (keystore.finishSession, {"properties": repeated, "inData": DATA}),
                )
            ]
            assert b"".join(parts) == whole

    use(main)


@pytest.mark.parametrize("alias", [{Tag.HUKS_TAG_KEY_ALIAS: b"result"}, {}], ids=["alias", "no alias"])
@pytest.mark.parametrize("form", FORMS)
def test_an_agreement_reads_the_parameters_of_finish_though_they_are_those_of_its_session(form, alias):
    """They say that the secret is stored, so it is never given out."""

    async def main(keystore):
        curve = {
            Tag.HUKS_TAG_ALGORITHM: huks.HuksKeyAlg.HUKS_ALG_X25519,
            Tag.HUKS_TAG_KEY_SIZE: 256,
            Tag.HUKS_TAG_PURPOSE: huks.HuksKeyPurpose.HUKS_KEY_PURPOSE_AGREE,
        }
        await keystore.generateKeyItem("pair", {"properties": listed(curve)})
        peer = (await keystore.exportKeyItem("pair", {"properties": []})).outData
        stored = huks.HuksKeyStorageType.HUKS_STORAGE_ONLY_USED_IN_HUKS
        flag = {Tag.HUKS_TAG_DERIVED_AGREED_KEY_STORAGE_FLAG: stored}
        properties = listed(curve | flag | alias, form=form)
        outcomes = []
        for repeated in (properties, properties, tuple(properties)):
            handle = (await keystore.initSession("pair", {"properties": properties})).handle
            await keystore.updateSession(handle, {"properties": repeated, "inData": peer})
            try:
                secret = (
                    await keystore.finishSession(handle, {"properties": repeated, "inData": b""})
                ).outData
            except huks.BusinessError as error:
                secret = error.code
            outcomes.append(secret)
        assert outcomes == [outcomes[2]] * 3
        assert outcomes[2] == b"" or isinstance(outcomes[2], int)

    use(main)


VALUES = st.sampled_from(
    [
        *NUMBERS.values(),
        *BLOBS.values(),
        2,
        3,
        True,
        False,
        256.0,
        -1,
        2**40,
        b"",
        bytes(8),
        "text",
        None,
        128,
    ]
)
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["value", "tag", "drop", "double", "swap", "append", "lose"]),
        st.integers(0, 6),
        st.one_of(VALUES, st.sampled_from(list(Tag))),
    ),
    max_size=3,
)


def _change(form, properties, changes):
    for what, place, value in changes:
        if not properties:
            return
        place %= len(properties)
        if what in ("value", "tag"):
            put(properties[place], **{what: value})
        elif what == "drop":
            del properties[place]
        elif what == "double":
            properties.append(copy.copy(properties[place]))
        elif what == "swap":
            properties[place], properties[0] = properties[0], properties[place]
        elif what == "append":
            properties.append(form(tag=value, value=value))
        elif form is dict:
            properties[place].pop("value", None)
        elif hasattr(properties[place], "value"):
            del properties[place].value


@pytest.mark.parametrize("form", FORMS)
@given(rounds=st.lists(CHANGES, min_size=1, max_size=6))
@settings(max_examples=75, deadline=None)
def test_a_keystore_that_remembers_agrees_with_one_that_does_not(form, rounds):
    """Any changes to a list that was used before: the same bytes or the same error, whatever is kept ready."""

    async def with_lists(keystore, warm):
        results = []
        properties = listed(NUMBERS, BLOBS, form=form)
        for changes in rounds:
            for _ in range(2 if warm else 1):
                if warm:
                    await seal(keystore, listed(NUMBERS, BLOBS, form=form))
            changed = properties
            _change(form, changed, copy.deepcopy(changes))
            got = await outcome(keystore, changed)
            if isinstance(got, bytes) and len(got) > len(DATA) + 16:
                got = "a nonce was made"
            results.append(got)
        return results

    remembering = use(lambda keystore: with_lists(keystore, warm=True))
    forgetful = use(lambda keystore: with_lists(keystore, warm=False), key_cache=huks.KeyCache(keys=0))
    assert remembering == forgetful


@pytest.mark.filterwarnings("ignore::huks_async.HuksWarning")
def test_lists_that_change_between_two_sessions(capsys):
    """Other values, types, objects, orders and levels, and keys that others replace: the same outcome."""
    assert remembered_options.main(3000, 20260) == 0
    assert "0 differences" in capsys.readouterr().out


class CountingStore(MemoryStore):
    """Counts how often a row is read."""

    def __init__(self):
        super().__init__()
        self.reads = 0

    async def get(self, name):
        self.reads += 1
        return await super().get(name)


def test_a_kept_key_is_read_again_when_its_time_is_over():
    """Until then no session reads the store; after it the next one does, however well known its list is."""
    now, store = [0.0], CountingStore()

    async def main():
        root_key, cache = huks.EphemeralRootKey(), huks.KeyCache(seconds=60)
        async with huks.Keystore.open(store, root_key, clock=lambda: now[0], key_cache=cache) as keystore:
            await import_key(keystore)
            properties = listed(NUMBERS, BLOBS)
            await seal(keystore, properties)
            for when, reads in ((1.0, 0), (60.0, 0), (60.5, 1), (61.0, 1), (120.5, 1), (120.6, 2)):
                if when == 1.0:
                    store.reads = 0
                now[0] = when
                await seal(keystore, properties)
                assert (when, store.reads) == (when, reads)
                await seal(keystore, [huks.HuksParam(**param) for param in properties])
                assert (when, store.reads) == (when, reads)

    anyio.run(main)


class Equal:
    """Taken for a text by whoever compares, and none."""

    def __hash__(self):
        return hash("key")

    def __eq__(self, other):
        return other == "key"


class Text(str):
    """A text of another class."""


@pytest.mark.parametrize(
    ("alias", "expected"), [("key", None), (Text("key"), None), (Equal(), 401), (5, 401)]
)
@pytest.mark.parametrize("parsed", [False, True])
def test_an_alias_is_judged_alike_whether_the_list_is_known(alias, expected, parsed):
    """Of the known list in the first way, and of one that is parsed."""

    async def main(keystore):
        known = listed(NUMBERS, BLOBS)
        await seal(keystore, known)
        try:
            session = await keystore.initSession(alias, {"properties": tuple(known) if parsed else known})
        except huks.BusinessError as error:
            assert error.code == expected
        else:
            assert expected is None
            await keystore.abortSession(session.handle, {})
        # functions on messages, too, which keep what they made with a key
        await keystore.seal("key", DATA)
        if expected:
            with pytest.raises(huks.BusinessError) as refused:
                await keystore.seal(alias, DATA)
            assert refused.value.code == expected
        else:
            assert await keystore.unseal("key", await keystore.seal(alias, DATA)) == DATA

    use(main)


@pytest.mark.parametrize("finishes", [False, True])
@pytest.mark.parametrize("form", [bytes, bytearray], ids=["known", "parsed"])
@pytest.mark.parametrize(("length", "expected"), [(4 << 20, None), ((4 << 20) + 1, 401)])
def test_a_token_is_judged_alike_whatever_its_form(finishes, form, length, expected):
    """Bytes are passed on as they are, and a buffer is copied: no more of the one than of the other."""

    async def main(keystore):
        session = await keystore.initSession("key", {"properties": listed(NUMBERS, BLOBS)})
        call = keystore.finishSession if finishes else keystore.updateSession
        try:
            await call(session.handle, {"inData": DATA}, form(length))
        except huks.BusinessError as error:
            assert error.code == expected
        else:
            assert expected is None

    use(main)
