"""Make the frozen store: `python -m tests.keystore.frozen.make FOLDER`.

The one that is kept was made by version 0.1.0, and stays: later versions must open it. A version that writes another
form adds a store of its own beside it.
"""

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from huks_async import BusinessError, Keystore
from huks_async.access import WebAuthnAuthenticator, attempts
from tests.access.test_totp import SECRET, Now, code_at
from tests.access.test_webauthn import ORIGIN, RP, Passkey
from tests.keystore.frozen.contents import (
    ATTEST_CALL,
    BOOT,
    BY_TOKEN,
    CHALLENGE,
    CLEARED_PIN,
    KEYS,
    PASSKEY,
    PASSKEY_ID,
    PIN,
    WRAP_CALL,
    WRAPPED,
    freeze,
    opened,
    pin_authenticator,
)
from tests.keystore.support import options


async def keys(keystore: Keystore) -> dict[str, Any]:
    """A key of each family, and what leaves the store of them."""
    noted: dict[str, Any] = {"keys": {}}
    for alias, (tags, _) in KEYS.items():
        await keystore.generateKeyItem(alias, options(**tags))
        noted["keys"][alias] = await freeze(keystore, alias)
    noted["wrapped"] = (await keystore.wrapKeyItem(WRAPPED, WRAP_CALL)).outData.hex()
    noted["chain"] = list((await keystore.attestKeyItem("ecc", ATTEST_CALL)).certChains)
    noted["root"] = await keystore.attestation_root()
    noted["attested"] = datetime.now(UTC).isoformat()
    return noted


async def credentials(folder: Path) -> dict[str, Any]:
    """A user of each credential: 100 has a PIN, 101 codes, 102 a passkey, 103 had a PIN."""
    pin = pin_authenticator()
    noted: dict[str, Any] = {}
    async with opened(folder, pin) as keystore:
        noted |= await keys(keystore)
        await pin.enroll(keystore, 100, PIN)
        await keystore.generateKeyItem("by token", options(**BY_TOKEN))
        noted["token"] = (await keystore.authenticate(b"", PIN)).hex()
        try:
            await keystore.authenticate(b"", "a wrong PIN")
        except BusinessError as error:
            assert error.code == 12000008
    async with opened(folder, pin, 103) as keystore:
        await pin.enroll(keystore, 103, CLEARED_PIN)
        await keystore.generateKeyItem("by token", options(**BY_TOKEN))
        noted["void token"] = (await keystore.authenticate(b"", CLEARED_PIN)).hex()
        await pin.clear(keystore, 103)
    now = Now()
    totp = now.authenticator()
    async with opened(folder, totp, 101) as keystore:
        await totp.enroll(keystore, 101, account="a", issuer="b", secret=SECRET)
        await keystore.authenticate(CHALLENGE, code_at(now.wall))
    web = WebAuthnAuthenticator(RP, [ORIGIN])
    passkey = Passkey(counts=True)
    passkey.key, passkey.id = PASSKEY, PASSKEY_ID
    async with opened(folder, web, 102) as keystore:
        asked = await web.begin_enroll(keystore, 102, name="a")
        await web.finish_enroll(keystore, 102, passkey.create(asked))
        answer = passkey.get(CHALLENGE)
        await keystore.authenticate(CHALLENGE, answer, auth_type=web.auth_types)
    noted["passkey"] = {"handle": passkey.handle, "count": passkey.count}
    return noted


def main() -> None:
    """Make it."""
    folder = Path(sys.argv[1])
    folder.mkdir(mode=0o700)
    attempts.boot_id = lambda: BOOT
    noted = asyncio.run(credentials(folder))
    (folder / "noted.json").write_text(json.dumps(noted, indent=1) + "\n")


if __name__ == "__main__":
    main()
