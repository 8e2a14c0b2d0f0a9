"""Root keys in a PKCS#11 token, checked with SoftHSM."""

import asyncio
import hashlib
import hmac
import os
import sys
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import huks_async as huks
from huks_async.keys.items.storekey import open_store_key
from huks_async.model.errors import BusinessError
from huks_async.providers import Pkcs11Provider
from huks_async.rootkeys import EphemeralRootKey, Pkcs11RootKey, pkcs11_library
from huks_async.rootkeys.pkcs11_library import library_of
from huks_async.stores import MemoryStore
from tests.providers import softhsm
from tests.providers.softhsm import MODULE, end_library, let_threads_end, make_tokens, needs_token
from tests.providers.support import ABILITY, ABILITY_PARAM, NAME, refused

KEY = bytes(range(32))
PIN = softhsm.PIN.decode()


@pytest.fixture(scope="module")
def token(tmp_path_factory):
    """Two fresh tokens of SoftHSM. The library reads its configuration when it begins."""
    pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
    with pytest.MonkeyPatch.context() as patch:
        module = make_tokens(tmp_path_factory.mktemp("softhsm"), patch, "one", "two")
        yield "one"
        end_library(module)


@needs_token
@pytest.mark.asyncio
async def test_a_key_in_a_token_wraps_and_unwraps(token):
    """A generated key wraps; another key and another kind do not unwrap; it is made once only."""
    root_key = Pkcs11RootKey(MODULE, token, PIN, label="wraps")
    with pytest.raises(BusinessError, match=r"has 0 secret keys.*generate\(\)") as caught:
        await root_key.open()
    assert caught.value.code == 12000020
    await root_key.generate()
    await root_key.open()
    with pytest.raises(BusinessError, match="exists") as caught:
        await root_key.generate()
    assert caught.value.code == 12000017

    one, two = await root_key.wrap(KEY), await root_key.wrap(KEY)
    assert one != two
    assert await root_key.unwrap(one) == await root_key.unwrap(two) == KEY
    assert root_key.key_id == "one/wraps"

    other = Pkcs11RootKey(MODULE, token, PIN, label="other")
    await other.generate()
    for wrapped in (
        await other.wrap(KEY),
        await EphemeralRootKey().wrap(KEY),
        one[:-1] + bytes([one[-1] ^ 1]),
    ):
        with pytest.raises(BusinessError) as caught:
            await root_key.unwrap(wrapped)
        assert caught.value.code == 12000012


@needs_token
@pytest.mark.asyncio
async def test_the_generated_key_cannot_be_read_out(token):
    """The token itself says that the key is sensitive and not extractable, and refuses its value."""
    import pkcs11

    await Pkcs11RootKey(MODULE, token, PIN, label="sealed").generate()
    with pkcs11.lib(MODULE).get_token(token_label=token).open(user_pin=PIN) as session:
        (key,) = session.get_objects({pkcs11.Attribute.LABEL: "sealed"})
        assert key[pkcs11.Attribute.SENSITIVE]
        assert not key[pkcs11.Attribute.EXTRACTABLE]
        assert key[pkcs11.Attribute.NEVER_EXTRACTABLE]
        with pytest.raises(pkcs11.AttributeSensitive):
            _ = key[pkcs11.Attribute.VALUE]


@needs_token
@pytest.mark.asyncio
async def test_the_documented_derivation_is_what_is_done(token):
    """With a secret that is known, the wrapped key can be read by its description alone, with no token."""
    import pkcs11

    secret = b"\x42" * 32
    with pkcs11.lib(MODULE).get_token(token_label=token).open(rw=True, user_pin=PIN) as session:
        session.create_object(
            {
                pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
                pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.GENERIC_SECRET,
                pkcs11.Attribute.TOKEN: True,
                pkcs11.Attribute.PRIVATE: True,
                pkcs11.Attribute.SIGN: True,
                pkcs11.Attribute.LABEL: "known",
                pkcs11.Attribute.VALUE: secret,
            }
        )
    wrapped = await Pkcs11RootKey(MODULE, token, PIN, label="known").wrap(KEY)
    assert wrapped[:3] == bytes((1, 3, 16))
    wrapping = hmac.digest(secret, b"huks_async root key/wrap/" + wrapped[3:19], hashlib.sha256)
    assert AESGCM(wrapping).decrypt(wrapped[19:31], wrapped[31:], wrapped[:19]) == KEY


@needs_token
@pytest.mark.asyncio
async def test_it_works_beside_other_code_that_is_logged_in(token):
    """A session that the host keeps open at the same token is no obstacle, and stays logged in."""
    import pkcs11

    root_key = Pkcs11RootKey(MODULE, token, PIN, label="beside")
    await root_key.generate()
    with pkcs11.lib(MODULE).get_token(token_label=token).open(user_pin=PIN) as session:
        assert await root_key.unwrap(await root_key.wrap(KEY)) == KEY
        assert list(session.get_objects({pkcs11.Attribute.LABEL: "beside"}))


@needs_token
@pytest.mark.asyncio
async def test_wrong_pins_and_missing_tokens_are_named(token, tmp_path):
    """A wrong PIN is 12000022 and is not shown, an unknown token or library 12000020."""
    with pytest.raises(BusinessError, match="PIN of the token 'two' is wrong") as caught:
        await Pkcs11RootKey(MODULE, "two", "sesame99").open()
    assert caught.value.code == 12000022
    assert "sesame99" not in caught.value.message
    for module, label in ((MODULE, "three"), (tmp_path / "none.so", token)):
        with pytest.raises(BusinessError) as caught:
            await Pkcs11RootKey(module, label, PIN).open()
        assert caught.value.code == 12000020
        assert str(module) in caught.value.message


@needs_token
@pytest.mark.asyncio
async def test_a_search_for_another_token_waits_for_its_work(token, monkeypatch):
    """A provider whose token is missing has the library initialized again, but not under a root key's call."""
    root_key = Pkcs11RootKey(MODULE, token, PIN, label="held")
    await root_key.generate()
    find, found, go_on = root_key._find, threading.Event(), threading.Event()

    def held(pkcs11, session):
        key = find(pkcs11, session)
        found.set()
        go_on.wait(120)
        return key

    monkeypatch.setattr(root_key, "_find", held)
    wrapping = asyncio.ensure_future(root_key.wrap(KEY))
    assert await asyncio.to_thread(found.wait, 120)
    abilities = {ABILITY: Pkcs11Provider(MODULE, "missing")}
    async with huks.Keystore.open(
        "memory:", monitor=False, abilities=abilities, provider_timeout=120
    ) as keystore:
        seeking = asyncio.ensure_future(keystore.registerProvider(NAME, [ABILITY_PARAM]))
        await asyncio.sleep(0.3)
        assert not seeking.done()
        go_on.set()
        with refused(12000020, "NoSuchToken"):
            await seeking
    assert await root_key.unwrap(await wrapping) == KEY


@needs_token
@pytest.mark.asyncio
async def test_a_store_opens_with_its_token_alone(token):
    """The store key is the same with the same token key, and out of reach with another."""
    mine, other = (Pkcs11RootKey(MODULE, token, PIN, label=label) for label in ("mine", "not mine"))
    await mine.generate()
    await other.generate()
    store = MemoryStore()
    key = await open_store_key(store, mine)
    assert await open_store_key(store, mine) == key
    with pytest.raises(BusinessError, match="memory: cannot be opened") as caught:
        await open_store_key(store, other)
    assert caught.value.code == 12000012


@needs_token
@pytest.mark.asyncio
async def test_a_token_that_shows_its_private_keys_to_all_is_logged_in_at(token, monkeypatch):
    """When it refuses their use; what they are used for is begun anew."""
    root_key = Pkcs11RootKey(MODULE, token, PIN, label="shown")
    await root_key.generate()
    wrapped = await root_key.wrap(KEY)
    find = root_key._find

    def refusing(pkcs11, session):
        if session.user_type == pkcs11.UserType.NOBODY:
            raise pkcs11.UserNotLoggedIn
        return find(pkcs11, session)

    monkeypatch.setattr(root_key, "_is_visible", lambda pkcs11, session: True)
    monkeypatch.setattr(root_key, "_find", refusing)
    assert await root_key.unwrap(wrapped) == KEY


@needs_token
def test_a_path_is_the_library_that_was_loaded_by_it(token, tmp_path, monkeypatch):
    """From one folder it names one file, from another one another; a link is what it was when it was first followed."""
    # other tests load it by its own path, and whatever is first here would be what it is loaded by
    monkeypatch.setattr(pkcs11_library, "_libraries", {})
    links = []
    (tmp_path / "other.so").touch()
    for folder, target in (("here", MODULE), ("there", tmp_path / "other.so")):
        (tmp_path / folder / "lib").mkdir(parents=True)
        links.append(tmp_path / folder / "lib" / "p.so")
        links[-1].symlink_to(target)
    monkeypatch.chdir(tmp_path / "here")
    first = library_of("lib/p.so")
    assert first is library_of(MODULE)
    monkeypatch.chdir(tmp_path / "there")
    second = library_of("lib/p.so")
    assert second is not first
    assert os.path.samefile(second._path, links[1])
    assert os.path.isabs(second._path)
    links[1].unlink()
    links[1].symlink_to(tmp_path / "later.so")
    assert library_of("lib/p.so") is library_of(os.getcwd() + "/lib/p.so") is second
    assert library_of(tmp_path / "later.so") is not second


@pytest.mark.asyncio
async def test_a_library_named_from_a_working_folder_that_was_removed(tmp_path, monkeypatch):
    """It is refused with the way out; one of the system's own folders is looked for as ever."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(
        BusinessError, match=r"'\./p\.so' is named from the present folder.*absolute path"
    ) as caught:
        await Pkcs11RootKey("./p.so", "one", PIN).open()
    assert caught.value.code == 12000020
    assert library_of("no-such-library.so") is not None


@pytest.mark.asyncio
async def test_without_the_extra_the_error_names_it(monkeypatch):
    """The module is imported late, and what is missing is said."""
    let_threads_end()  # without the module they would leave their sessions open
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    with pytest.raises(BusinessError, match=r"huks-async\[pkcs11\]") as caught:
        await Pkcs11RootKey(Path("x.so"), "t", "p").open()
    assert caught.value.code == 12000001


@pytest.mark.parametrize("module", ["", "a\0b", "a\ud800b", b"bytes", 5, None], ids=ascii)
def test_a_module_that_is_no_path_is_refused_at_once(module):
    """401 with the name of the argument, before any library is loaded."""
    with pytest.raises(BusinessError, match="Pkcs11RootKey: module must be the path") as caught:
        Pkcs11RootKey(module, "token", "1234")
    assert caught.value.code == 401


@pytest.mark.parametrize("wrong", ["a\ud800b", "\udcff", b"sesame99", 5, None], ids=ascii)
@pytest.mark.parametrize("argument", ["token", "pin", "label"])
def test_what_is_no_text_for_a_token_is_refused_at_once(argument, wrong):
    """401 with the name of the argument: python-pkcs11 would corrupt memory. A PIN is not shown."""
    given = {"token": "token", "pin": "1234", "label": "label", argument: wrong}
    with pytest.raises(BusinessError, match=f"Pkcs11RootKey: {argument} ") as caught:
        Pkcs11RootKey("x.so", **given)
    assert caught.value.code == 401
    assert caught.value.__context__ is None
    if argument == "pin":
        assert not any(piece in caught.value.message for piece in ("sesame", "ud800", "udcff", "5"))
