"""The passkey's page in a real browser, with a holder of passkeys that the browser simulates."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.browser import BROWSER, DRIVER, Browser, open_browser

pytest.importorskip("webauthn", reason="the extra webauthn is not installed")
pytestmark = pytest.mark.skipif(
    DRIVER is None or BROWSER is None, reason="chromium or chromedriver is not installed"
)

SERVER = Path(__file__).parents[2] / "examples" / "passkey" / "server.py"

POST = """
const post = async (path, body) => {
  const answer = await fetch(path, { method: "POST", body: JSON.stringify(body) });
  return { status: answer.status, given: await answer.json() };
};
const show = async ask => (await navigator.credentials.get({
  publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(ask) })).toJSON();
"""


@pytest.fixture
def page() -> Iterator[str]:
    """The address of the running example."""
    with subprocess.Popen(
        [sys.executable, SERVER, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().removeprefix("open ").strip()
        finally:
            server.terminate()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A browser with nothing in it."""
    with open_browser(tmp_path) as opened:
        yield opened


def test_a_passkey_authorises_signatures(page: str, browser: Browser) -> None:
    """Registered by one click, it signs by another; without it, or without its user, nothing is signed."""
    browser.visit(page)
    assert "12000011" in browser.press("sign")  # there is no key before somebody is there for it
    holder = browser.add_authenticator()
    assert browser.press("enroll") == "The passkey is registered."
    for _ in range(2):
        assert browser.press("sign").startswith("Signature verified: 30")
    browser.recognise_user(holder, recognised=False)
    assert browser.press("sign") == "Refused. NotAllowedError"
    browser.recognise_user(holder, recognised=True)
    assert browser.press("sign").startswith("Signature verified: 30")
    # the same passkey is not made twice
    assert browser.press("enroll") == "Refused. InvalidStateError"
    browser.remove_authenticator(holder)
    browser.add_authenticator()
    assert browser.press("sign") == "Refused. NotAllowedError"


def test_what_a_browser_showed_serves_once(page: str, browser: Browser) -> None:
    """Its answer is good for the session that asked, once: not again, and not for another."""
    browser.visit(page)
    browser.add_authenticator()
    assert browser.press("enroll") == "The passkey is registered."
    again, other, wrong_user = browser.run(
        POST
        + """
        const first = (await post("/sign/begin", {})).given;
        const second = (await post("/sign/begin", {})).given;
        const third = (await post("/sign/begin", {})).given;
        const shown = await show(first.ask);
        const good = await post("/sign/finish", { session: first.session, text: "a", shown });
        if (good.status !== 200) throw new Error("refused");
        const changed = await show(third.ask);
        changed.response.userHandle = "AAAA";
        return [
          (await post("/sign/finish", { session: first.session, text: "b", shown })).given,
          (await post("/sign/finish", { session: second.session, text: "b", shown })).given,
          (await post("/sign/finish", { session: third.session, text: "b", shown: changed })).given,
        ];
        """
    )
    assert (again["code"], other["code"], wrong_user["code"]) == (12000011, 12000008, 12000008)
    assert "challenge" in other["message"]
    assert "user" in wrong_user["message"]


def test_another_page_is_refused_by_the_browser(page: str, browser: Browser) -> None:
    """A passkey of localhost is not shown to the same server under another name."""
    browser.visit(page)
    browser.add_authenticator()
    assert browser.press("enroll") == "The passkey is registered."
    ask = browser.run(POST + 'return (await post("/sign/begin", {})).given.ask;')
    browser.visit(page.replace("localhost", "127.0.0.1"))
    assert browser.run(POST + "return await show(given[0]);", ask) == "thrown: SecurityError"
