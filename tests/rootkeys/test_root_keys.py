"""Root keys: what they wrap, what they refuse, and how they come into being."""

import asyncio
import hashlib
import hmac
import os
import stat
import struct
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from huks_async.keystore import Keystore
from huks_async.model.errors import BusinessError
from huks_async.rootkeys import EphemeralRootKey, FileRootKey, PassphraseRootKey, SystemdRootKey
from huks_async.runtime import folders
from huks_async.stores import MemoryStore, SqliteStore

blockbuster = pytest.importorskip("blockbuster", reason="blockbuster is not installed")

KEY = bytes(range(32))


@pytest.fixture
def guard():
    """Refuse calls that block the event loop."""
    with blockbuster.blockbuster_ctx():
        yield


@pytest.fixture(params=["file", "passphrase", "ephemeral", "systemd"])
def root_key(request, tmp_path, monkeypatch):
    """A root key of each kind."""
    if request.param == "file":
        return FileRootKey(tmp_path / "keys" / "root.key")
    if request.param == "passphrase":
        return PassphraseRootKey("correct horse", log_n=10)
    if request.param == "ephemeral":
        return EphemeralRootKey()
    (tmp_path / "huks-root-key").write_bytes(os.urandom(32))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    return SystemdRootKey()


@pytest.mark.asyncio
async def test_a_wrapped_key_comes_back(root_key, guard):
    """Unwrap gives what was wrapped; two wraps of one key differ, and none shows it."""
    one, two = await root_key.wrap(KEY), await root_key.wrap(KEY)
    assert one != two
    assert KEY not in one
    assert await root_key.unwrap(one) == await root_key.unwrap(two) == KEY
    assert root_key.key_id
    with pytest.raises(BusinessError, match="32 bytes, got 31") as caught:
        await root_key.wrap(KEY[:31])
    assert caught.value.code == 401


@pytest.mark.asyncio
async def test_every_changed_bit_is_noticed(root_key):
    """A bit flip anywhere in the wrapped key, a cut or an addition is 12000012."""
    wrapped = await root_key.wrap(KEY)
    variants = [wrapped[:cut] for cut in (0, 1, 2, 3, 10, len(wrapped) - 1)] + [wrapped + b"\0"]
    for place in range(len(wrapped)):
        changed = bytearray(wrapped)
        # the cost parameter of scrypt is lowered, not raised, to keep this quick
        changed[place] ^= 0x02 if isinstance(root_key, PassphraseRootKey) and place == 3 else 0x01
        variants.append(bytes(changed))
    for variant in variants:
        with pytest.raises(BusinessError) as caught:
            await root_key.unwrap(variant)
        assert caught.value.code == 12000012


@pytest.mark.asyncio
async def test_another_root_key_is_named(root_key, tmp_path):
    """What another root key wrapped is 12000012, of the same kind or not."""
    others = [FileRootKey(tmp_path / "other"), EphemeralRootKey(), PassphraseRootKey("wrong", log_n=10)]
    for other in others:
        wrapped = await other.wrap(KEY)
        with pytest.raises(BusinessError, match="use the root key that the store was made with") as caught:
            await root_key.unwrap(wrapped)
        assert caught.value.code == 12000012


@pytest.mark.asyncio
async def test_the_documented_format_is_what_is_written(tmp_path):
    """File and wrapped key can be read by their description alone."""
    path = tmp_path / "root.key"
    root_key = FileRootKey(path)
    wrapped = await root_key.wrap(KEY)
    content = path.read_bytes()
    assert content[:12] == b"HUKSROOT\0\0\0\1"
    assert content[44:] == hashlib.sha256(content[:44]).digest()[:16]
    wrapping = hmac.digest(content[12:44], b"huks_async root key/wrap", hashlib.sha256)
    assert wrapped[:3] == bytes((1, 1, 16))
    assert wrapped[3:19] == root_key.key_id.encode()
    assert AESGCM(wrapping).decrypt(wrapped[19:31], wrapped[31:], wrapped[:19]) == KEY

    wrapped = await PassphraseRootKey("пароль", log_n=11, r=4, p=2).wrap(KEY)
    assert wrapped[:3] == bytes((1, 2, 19))
    log_n, r, p, salt = struct.unpack("BBB16s", wrapped[3:22])
    assert (log_n, r, p) == (11, 4, 2)
    wrapping = hashlib.scrypt("пароль".encode(), salt=salt, n=2**11, r=4, p=2, dklen=32)
    assert AESGCM(wrapping).decrypt(wrapped[22:34], wrapped[34:], wrapped[:22]) == KEY


@pytest.mark.asyncio
async def test_a_key_file_is_made_once_and_for_its_owner_alone(tmp_path, guard):
    """Mode 0600 in a directory of mode 0700, no drafts left, and the same key afterwards."""
    path = tmp_path / "new" / "root.key"
    old = os.umask(0)
    try:
        first = FileRootKey(path)
        wrapped = await first.wrap(KEY)
    finally:
        os.umask(old)

    def facts():
        return (
            stat.S_IMODE(path.stat().st_mode),
            stat.S_IMODE(path.parent.stat().st_mode),
            [file.name for file in path.parent.iterdir()],
        )

    assert await asyncio.to_thread(facts) == (0o600, 0o700, ["root.key"])
    second = FileRootKey(str(path), create=False)
    assert await second.unwrap(wrapped) == KEY
    assert second.key_id == first.key_id
    await second.aclose()
    assert await second.unwrap(wrapped) == KEY


@pytest.mark.asyncio
async def test_a_missing_key_file_is_not_made_where_that_is_not_wanted(tmp_path):
    """create=False names the file that is not there."""
    root_key = FileRootKey(tmp_path / "root.key", create=False)
    with pytest.raises(BusinessError, match=r"root\.key is not there") as caught:
        await root_key.open()
    assert caught.value.code == 12000004
    with pytest.raises(BusinessError, match="is not open"):
        _ = root_key.key_id
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", [0o604, 0o620, 0o660, 0o666, 0o601, 0o650])
async def test_a_key_file_that_others_have_rights_to_is_refused(tmp_path, mode):
    """Whoever owns it: 12000004, with the mode, the rule and the command that helps."""
    path = tmp_path / "root.key"
    await FileRootKey(path).open()
    path.chmod(mode)
    with pytest.raises(BusinessError, match=f"mode {mode:04o}.*at most 06[04]0 for.*chmod 6[04]0") as caught:
        await FileRootKey(path).open()
    assert caught.value.code == 12000004


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", [0o400, 0o440, 0o600, 0o640])
async def test_a_key_file_of_roots_may_be_read_by_its_group(tmp_path, mode):
    """As Kubernetes hands it to a pod; a file of the process's own user may not."""
    path = tmp_path / "root.key"
    await FileRootKey(path).open()
    path.chmod(mode)
    if os.geteuid() == 0 or not mode & 0o040:
        await FileRootKey(path).open()
    else:
        with pytest.raises(BusinessError, match="chmod 600"):
            await FileRootKey(path).open()


@pytest.mark.asyncio
async def test_a_secret_of_kubernetes_is_followed_through_its_links(tmp_path):
    """`root.key` leads through `..data`, which is swapped to another folder when the secret changes."""
    first, second = tmp_path / "..2026_1", tmp_path / "..2026_2"
    for folder in (first, second):
        await FileRootKey(folder / "root.key").open()
    (tmp_path / "..data").symlink_to(first.name)
    path = tmp_path / "root.key"
    path.symlink_to("..data/root.key")
    root_key = FileRootKey(path, create=False)
    await root_key.open()
    before = root_key.key_id
    await root_key.aclose()
    (tmp_path / "..data_tmp").symlink_to(second.name)
    (tmp_path / "..data_tmp").replace(tmp_path / "..data")
    await root_key.open()
    assert before != root_key.key_id


@pytest.mark.asyncio
async def test_every_folder_that_is_made_is_synced_in_the_one_above(tmp_path, monkeypatch):
    """Or a power cut could take the folder, and with it the only root key of a store."""
    synced = []
    monkeypatch.setattr(folders, "sync_folder", lambda path: synced.append(path))
    await FileRootKey(tmp_path / "a" / "b" / "c" / "root.key").open()
    top = str(tmp_path)
    assert synced == [top, f"{top}/a", f"{top}/a/b"]


@pytest.mark.asyncio
async def test_a_damaged_key_file_is_refused_and_never_made_anew(tmp_path):
    """Wrong length, wrong beginning, any changed bit: 12000004, and the file stays as it is."""
    path = tmp_path / "root.key"
    await FileRootKey(path).open()
    good = path.read_bytes()
    variants = [b"", good[:-1], good + b"\0", good * 2, b"\0" * 60]
    for place in range(len(good)):
        changed = bytearray(good)
        changed[place] ^= 1 << place % 8
        variants.append(bytes(changed))
    for variant in variants:
        path.write_bytes(variant)
        with pytest.raises(BusinessError, match="damaged or of another kind") as caught:
            await FileRootKey(path).open()
        assert caught.value.code == 12000004
        assert path.read_bytes() == variant
    path.write_bytes(good)
    await FileRootKey(path).open()


@pytest.mark.asyncio
async def test_a_path_that_is_no_file_is_named(tmp_path):
    """A directory, a pipe and a place below a file are 12000004, at once."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "file").touch(0o600)
    for place in (tmp_path, tmp_path / "pipe", tmp_path / "file" / "root.key"):
        with pytest.raises(BusinessError) as caught:
            await FileRootKey(place).open()
        assert caught.value.code == 12000004
        assert str(place) in caught.value.message
    with pytest.raises(BusinessError):
        FileRootKey("")


RACE = """
import asyncio, sys
from huks_async.rootkeys import FileRootKey
root_key = FileRootKey(sys.argv[1])
sys.stdin.readline()
asyncio.run(root_key.open())
print(root_key.key_id)
"""


def test_processes_that_race_for_a_key_file_get_the_same_key(tmp_path):
    """Four processes that create the file at once agree, and leave no drafts."""
    path = tmp_path / "keys" / "root.key"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    ids = {process.communicate(timeout=120)[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    assert len(ids) == 1
    assert [file.name for file in path.parent.iterdir()] == ["root.key"]


@pytest.mark.asyncio
async def test_tasks_that_race_for_a_key_file_get_the_same_key(tmp_path):
    """Twenty root key objects on one new file, in threads at once."""
    root_keys = [FileRootKey(tmp_path / "root.key") for _ in range(20)]
    await asyncio.gather(*(root_key.open() for root_key in root_keys))
    assert len({root_key.key_id for root_key in root_keys}) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["root.key"]


@pytest.mark.asyncio
async def test_scrypt_parameters_have_bounds():
    """Parameters beyond the bounds are 401 from the caller and 12000012 from a wrapped key."""
    for options in ({"log_n": 9}, {"log_n": 21}, {"r": 0}, {"r": 17}, {"p": 0}, {"p": 17}):
        with pytest.raises(BusinessError, match=next(iter(options))) as caught:
            PassphraseRootKey("x", **options)
        assert caught.value.code == 401
    with pytest.raises(BusinessError, match="is empty"):
        PassphraseRootKey("")
    with pytest.raises(BusinessError, match="lone surrogates") as caught:
        PassphraseRootKey("sesame\ud800")
    assert caught.value.__context__ is None
    root_key = PassphraseRootKey(b"x", log_n=10)
    wrapped = bytearray(await root_key.wrap(KEY))
    wrapped[3] = 40
    with pytest.raises(BusinessError, match="out of range") as caught:
        await root_key.unwrap(bytes(wrapped))
    assert caught.value.code == 12000012


@pytest.mark.parametrize("wrong", [1234, 3.5, None, [1, 2], [999], True])
def test_what_is_no_passphrase_is_refused(wrong):
    """A number is not as many zero bytes."""
    with pytest.raises(BusinessError, match="passphrase must be bytes-like") as caught:
        PassphraseRootKey(wrong)
    assert caught.value.code == 401


@pytest.mark.asyncio
async def test_a_stronger_passphrase_setting_reads_what_a_weaker_one_wrapped():
    """The parameters travel with the wrapped key."""
    wrapped = await PassphraseRootKey("same", log_n=10).wrap(KEY)
    assert await PassphraseRootKey("same", log_n=11, r=4).unwrap(wrapped) == KEY


@pytest.mark.asyncio
async def test_every_root_key_can_be_opened_again(root_key):
    """Closed, it opens what it wrapped before, also where it lives in memory alone."""
    wrapped = await root_key.wrap(KEY)
    for _ in range(2):
        await root_key.aclose()
        await root_key.open(new=False)
        assert await root_key.unwrap(wrapped) == KEY


@pytest.mark.asyncio
async def test_a_missing_or_wrong_systemd_credential_is_named(tmp_path, monkeypatch):
    """No directory, no credential, a wrong length, a name that would leave the directory."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(BusinessError, match="CREDENTIALS_DIRECTORY is not set") as caught:
        await SystemdRootKey().open()
    assert caught.value.code == 12000004
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(BusinessError, match="LoadCredentialEncrypted=mine") as caught:
        await SystemdRootKey("mine").open()
    assert caught.value.code == 12000004
    for content in (b"", b"x" * 31, b"x" * 33):
        (tmp_path / "mine").write_bytes(content)
        with pytest.raises(BusinessError, match="exactly 32") as caught:
            await SystemdRootKey("mine").open()
        assert caught.value.code == 12000004
    for name in ("", "../x", "a/b", ".hidden", "a\0b"):
        with pytest.raises(BusinessError) as caught:
            SystemdRootKey(name)
        assert caught.value.code == 401


@pytest.mark.asyncio
async def test_no_root_key_shows_itself(root_key):
    """Neither repr nor id nor the message of a failure hold the key, raw, as hex or as a passphrase."""
    await root_key.open()
    with pytest.raises(BusinessError) as caught:
        await root_key.unwrap(await EphemeralRootKey().wrap(KEY))
    shown = f"{root_key!r} {root_key} {root_key.key_id} {caught.value} {caught.value.__cause__!r}"
    if isinstance(root_key, PassphraseRootKey):
        secret = b"correct horse"
        assert secret.decode() not in shown
    else:
        secret = root_key._root
    assert len(secret) >= 13
    assert secret.hex() not in shown.lower()
    assert repr(secret)[2:-1] not in shown


def test_each_store_says_which_root_key_suits_it(tmp_path):
    """In memory one that ends with the process, in a file one beside it; a store of a caller's own needs one."""

    class Own(MemoryStore):
        def default_root_key(self):
            return None

    assert isinstance(MemoryStore().default_root_key(), EphemeralRootKey)
    beside = SqliteStore(tmp_path / "keys.db").default_root_key()
    assert isinstance(beside, FileRootKey)
    assert beside.path == f"{tmp_path}/keys.db.root-key"
    with pytest.raises(
        BusinessError, match="root_key is missing: a store like memory: has no default"
    ) as caught:
        Keystore.open(Own())
    assert caught.value.code == 401
    Keystore.open(Own(), EphemeralRootKey())


@pytest.mark.asyncio
@pytest.mark.parametrize("first", ["link", "database"])
async def test_a_link_to_a_database_finds_its_root_key(tmp_path, first):
    """The default root key is beside the database itself, whichever name made it; one beside the link comes first."""
    (tmp_path / "real").mkdir()
    database, link = tmp_path / "real" / "keys.db", tmp_path / "link.db"
    link.symlink_to(database)
    names = [link, database] if first == "link" else [database, link]
    keys = []
    for one in names:
        store = SqliteStore(one)
        root_key = store.default_root_key()
        await root_key.open()
        assert database.with_name("keys.db.root-key").exists()
        assert not link.with_name("link.db.root-key").exists()
        keys.append(root_key.key_id)
    assert keys[0] == keys[1]
    own = tmp_path / "link.db.root-key"
    own.write_bytes(b"damaged")
    own.chmod(0o600)
    with pytest.raises(BusinessError, match=r"link\.db\.root-key is damaged"):
        await SqliteStore(link).default_root_key().open()


@pytest.mark.asyncio
async def test_a_keystore_opened_again_uses_the_root_key_of_where_its_link_leads_now(tmp_path):
    """Also for a store that is made then: it gets one of its own, under which whoever else opens it finds its keys."""
    for name in ("one", "two"):
        async with Keystore.open(f"sqlite:///{tmp_path}/{name}.db"):
            pass
    link = tmp_path / "link.db"
    link.symlink_to("one.db")
    keystore = Keystore.open(f"sqlite:///{link}")
    async with keystore:
        pass
    for name in ("two", "three"):
        link.unlink()
        link.symlink_to(f"{name}.db")
        async with keystore:
            pass
        assert (tmp_path / f"{name}.db.root-key").exists()
        async with Keystore.open(f"sqlite:///{tmp_path}/{name}.db"):
            pass


@pytest.mark.asyncio
async def test_a_lost_root_key_is_named_as_that(tmp_path):
    """A store that was sealed under a root key gets no other one, and the message says what to do."""
    async with Keystore.open(f"sqlite:///{tmp_path}/keys.db"):
        pass
    lost = tmp_path / "keys.db.root-key"
    lost.unlink()
    with pytest.raises(
        BusinessError, match=r"keys\.db\.root-key is not there.* restore it from a backup\..*root_key="
    ) as caught:
        await Keystore.open(f"sqlite:///{tmp_path}/keys.db").__aenter__()
    assert caught.value.code == 12000004
    assert not lost.exists()


@pytest.mark.parametrize("path", ["", "a\0b", "a\ud800b", b"bytes", 5, None], ids=ascii)
def test_a_path_that_no_file_has_is_refused_at_once(path):
    """A lone surrogate has no form in the file system's encoding."""
    with pytest.raises(BusinessError, match="needs a path") as caught:
        FileRootKey(path)
    assert caught.value.code == 401
