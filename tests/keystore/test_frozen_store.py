"""A store of version 0.1.0, as files: whatever comes later opens it, and all that is in there serves."""

import json
import shutil
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from huks_async import BusinessError, Keystore, verify_attestation
from huks_async.access import WebAuthnAuthenticator, attempts
from tests.access.test_totp import SECRET, Now, code_at
from tests.keystore.frozen import contents
from tests.keystore.frozen.contents import CHALLENGE, KEYS, PIN, WRAP_CALL, WRAPPED, pin_authenticator
from tests.keystore.support import options, refused
from tests.skips import skip_unsupported

pytestmark = pytest.mark.asyncio

FROZEN = Path(__file__).parent / "frozen" / "store"
NOTED: dict[str, Any] = json.loads((FROZEN / "noted.json").read_text())

Opened = Callable[..., Keystore]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Opens a copy of the store, at the start of the machine and the moment when it was made."""
    folder = tmp_path / "copy"
    folder.mkdir(mode=0o700)
    for file in FROZEN.iterdir():
        Path(shutil.copy(file, folder)).chmod(0o600)
    monkeypatch.setattr(attempts, "boot_id", lambda: contents.BOOT)
    return partial(contents.opened, folder)


@pytest.mark.filterwarnings("ignore::huks_async.HuksLegacyWarning")
@pytest.mark.parametrize("alias", KEYS)
async def test_a_key_of_each_family(opened: Opened, alias: str) -> None:
    """It decrypts, verifies and gives what it did."""
    async with opened() as keystore:
        try:
            await contents.check(keystore, alias, NOTED["keys"][alias])
        except BusinessError as error:
            skip_unsupported(error)


async def test_all_keys_are_listed(opened: Opened, tmp_path: Path) -> None:
    """None is missing, and a backup opens each."""
    async with opened() as keystore:
        await keystore.backup(tmp_path / "backup.db")
        listed = await keystore.listAliases(options())
        assert set(listed.keyAliases) == {*KEYS, "by token"} - {"aes of level 2"}


async def test_a_wrapped_key(opened: Opened) -> None:
    """The blob opens under the operator's key."""
    async with opened() as keystore:
        await keystore.deleteKeyItem(WRAPPED, options())
        await keystore.unwrapKeyItem(WRAPPED, WRAP_CALL, bytes.fromhex(NOTED["wrapped"]))
        await contents.check(keystore, WRAPPED, NOTED["keys"][WRAPPED])


async def test_an_attestation(opened: Opened) -> None:
    """It verifies, and the authority of the store is the same."""
    async with opened() as keystore:
        at = datetime.fromisoformat(NOTED["attested"])
        root = await keystore.attestation_root()
        assert root == NOTED["root"]
        public = bytes.fromhex(NOTED["keys"]["ecc"]["public"])
        report = verify_attestation(NOTED["chain"], CHALLENGE, roots=[root], at=at)
        assert report.public_key == public
        anew = (await keystore.attestKeyItem("ecc", contents.ATTEST_CALL)).certChains
        assert anew[1:] == NOTED["chain"][1:]
        assert verify_attestation(anew, CHALLENGE, roots=[root]).public_key == public


async def test_a_token_and_one_that_was_voided(opened: Opened) -> None:
    """The keys of tokens are derived as they were, and what was voided is kept."""
    for user, token in ((100, "token"), (103, "void token")):
        async with opened(pin_authenticator(), user) as keystore:
            made = await keystore.initSession("by token", _by_token())
            call = keystore.finishSession(made.handle, options(contents.TEXT), bytes.fromhex(NOTED[token]))
            if user == 100:
                assert len((await call).outData) == len(contents.TEXT)
            else:
                assert "changed" in (await refused(call, 12000008)).message


async def test_a_pin(opened: Opened) -> None:
    """It is right, one wrong guess is counted already, and the key takes the token that is made."""
    async with opened(pin_authenticator()) as keystore:
        token = await keystore.authenticate(b"", PIN)
        made = await keystore.initSession("by token", _by_token())
        await keystore.finishSession(made.handle, options(contents.TEXT), token)
    async with opened(pin_authenticator()) as keystore:
        for _ in range(2):
            await refused(keystore.authenticate(b"", "a wrong PIN"), 12000008)
        assert (await refused(keystore.authenticate(b"", PIN), 12000008)).data == {"retry_after": 30}


async def test_a_wrong_guess_is_counted_already(opened: Opened) -> None:
    """Two are free: one more is wrong, and the next has to wait."""
    async with opened(pin_authenticator()) as keystore:
        assert (await refused(keystore.authenticate(b"", "a wrong PIN"), 12000008)).data is None
        assert (await refused(keystore.authenticate(b"", PIN), 12000008)).data is not None


async def test_codes(opened: Opened) -> None:
    """The used one stays used, the next is right."""
    now = Now()
    async with opened(now.authenticator(), 101) as keystore:
        for moment, right in ((now.wall, False), (now.wall + 30, True)):
            call = keystore.authenticate(CHALLENGE, code_at(moment, SECRET))
            if right:
                await call
            else:
                assert "used already" in (await refused(call, 12000008)).message


async def test_a_passkey(opened: Opened) -> None:
    """Its next use is right, for a challenge that was not answered."""
    pytest.importorskip("webauthn", reason="the extra webauthn is not installed")
    from tests.access.test_webauthn import ORIGIN, RP, Passkey

    web = WebAuthnAuthenticator(RP, [ORIGIN])
    passkey = Passkey(counts=True)
    passkey.key, passkey.id = contents.PASSKEY, contents.PASSKEY_ID
    passkey.handle, passkey.count = NOTED["passkey"]["handle"], NOTED["passkey"]["count"]
    async with opened(web, 102) as keystore:

        async def show(challenge: bytes) -> None:
            await keystore.authenticate(challenge, passkey.get(challenge), auth_type=web.auth_types)

        assert (await refused(show(CHALLENGE), 12000008)).data == {"refused": "replay"}
        await show(bytes(32))
        passkey.count = NOTED["passkey"]["count"] - 1
        assert (await refused(show(bytes([1]) * 32), 12000008)).data == {"refused": "counter"}


def _by_token() -> dict[str, Any]:
    tags = {name: contents.BY_TOKEN[name] for name in ("ALGORITHM", "KEY_SIZE", "BLOCK_MODE", "PADDING")}
    return options(**tags, PURPOSE=1, IV=bytes(16))
