"""A challenge that was answered by an ID token or a passkey is answered for all processes on one store."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from huks_async import BusinessError, Keystore
from huks_async.access import OidcAuthenticator, WebAuthnAuthenticator

pytestmark = pytest.mark.asyncio

CHALLENGE = bytes(range(32))

_SHOWER = """
import asyncio, json, sys
from huks_async import BusinessError, Keystore
from huks_async.access import OidcAuthenticator, WebAuthnAuthenticator

kind, store, auth_type, answers, shown = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4]), sys.argv[5]

async def fetch(url):
    return json.dumps(answers[url]).encode()

def authenticator():
    if kind == "oidc":
        return OidcAuthenticator("https://login.example.org", "vault-1", fetch)
    return WebAuthnAuthenticator("example.org", ["https://vault.example.org"])

async def main():
    async with Keystore.open(store, authenticator=authenticator(), monitor=False) as keystore:
        print("ready", flush=True)
        sys.stdin.readline()
        async def show():
            try:
                await keystore.authenticate(bytes(range(32)), shown, auth_type=auth_type)
            except BusinessError as error:
                return f"{error.code} {(error.data or {}).get('refused')}"
            return "right"
        for outcome in await asyncio.gather(*(show() for _ in range(10))):
            print(outcome)

asyncio.run(main())
"""


async def _show_in_two_processes(*words: str) -> list[str]:
    processes = [
        subprocess.Popen(  # noqa: ASYNC220 - the test waits for them, and nothing else runs
            [sys.executable, "-c", _SHOWER, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    outputs = await asyncio.gather(*(asyncio.to_thread(one.communicate, "go\n") for one in processes))
    return sorted(line for output, _ in outputs for line in output.splitlines())


async def _is_replay(keystore: Keystore, shown: Any, auth_type: int) -> bool:
    """Whether the same is refused in this process, too, which has not seen it."""
    with pytest.raises(BusinessError) as caught:
        await keystore.authenticate(CHALLENGE, shown, auth_type=auth_type)
    return caught.value.code == 12000008 and caught.value.data == {"refused": "replay"}


async def test_an_id_token_serves_one_process_once(tmp_path: Path) -> None:
    """Of 20 showings of one ID token in two processes one is let in, and none in a third process."""
    pytest.importorskip("joserfc", reason="the extra oidc is not installed")
    from tests.access.test_oidc import ISSUER, Issuer

    issuer, store = Issuer(), f"sqlite:///{tmp_path}/keys.db"
    issuer.now = time.time()
    answers = {
        url: json.loads(await issuer.fetch(url))
        for url in (f"{ISSUER}/.well-known/openid-configuration", f"{ISSUER}/keys")
    }
    oidc: OidcAuthenticator = issuer.authenticator()
    token = issuer.token(exp=int(issuer.now) + 300)  # the processes may be slow to start
    async with Keystore.open(store, authenticator=oidc, monitor=False) as keystore:
        await oidc.enroll(keystore, 100, "ana")
        outcomes = await _show_in_two_processes("oidc", store, "4", json.dumps(answers), token)
        assert outcomes == ["12000008 replay"] * 19 + ["right"]
        assert await _is_replay(keystore, token, 4)


@pytest.mark.parametrize("counts", [False, True], ids=["no counter", "counter"])
async def test_an_assertion_serves_one_process_once(tmp_path: Path, counts: bool) -> None:
    """Of 20 showings of one assertion in two processes one is let in, and none in a third process."""
    pytest.importorskip("webauthn", reason="the extra webauthn is not installed")
    from tests.access.test_webauthn import ORIGIN, RP, Passkey

    passkey, store = Passkey(counts=counts), f"sqlite:///{tmp_path}/keys.db"
    web = WebAuthnAuthenticator(RP, [ORIGIN])
    async with Keystore.open(store, authenticator=web, monitor=False) as keystore:
        await web.finish_enroll(
            keystore, 100, passkey.create(await web.begin_enroll(keystore, 100, name="ana"))
        )
        shown = json.dumps(passkey.get(CHALLENGE))
        outcomes = await _show_in_two_processes("webauthn", store, "1", "{}", shown)
        assert outcomes == ["12000008 replay"] * 19 + ["right"]
        assert await _is_replay(keystore, shown, 1)
