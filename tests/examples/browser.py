"""A headless browser by the WebDriver protocol, which is HTTP and JSON: Chromium's own driver needs no library."""

import json
import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

DRIVER = shutil.which("chromedriver")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
_SECONDS = 120


class Browser:
    """One window."""

    def __init__(self, port: int, profile: Path) -> None:
        self._port = port
        arguments = [
            "--headless=new",
            "--no-sandbox",  # tests run as root in containers, and visit this machine's own page alone
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            f"--user-data-dir={profile}",
        ]
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": BROWSER, "args": arguments},
            "webauthn:virtualAuthenticators": True,
            "timeouts": {"script": _SECONDS * 1000},
        }
        self._session = ""
        made = self._begin({"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{made['sessionId']}"

    def _begin(self, wanted: object) -> Any:
        try:
            return self._call("POST", "/session", wanted)
        except RuntimeError as error:
            # On a busy machine the browser at times does not begin, within the driver's own limit of time.
            if "session not created" not in str(error):
                raise
            return self._call("POST", "/session", wanted)

    def _call(self, method: str, path: str, body: object = None) -> Any:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=_SECONDS)
        try:
            connection.request(
                method, self._session + path, None if body is None else json.dumps(body).encode()
            )
            answer = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(answer, dict) and "error" in answer:
            raise RuntimeError(f"{path}: {answer['error']}: {answer['message']}")
        return answer

    def visit(self, address: str) -> None:
        """Go to a page."""
        self._call("POST", "/url", {"url": address})

    def run(self, script: str, *arguments: object) -> Any:
        """Give what the body of an async function in the page returns."""
        wrapped = (
            "const done = arguments[arguments.length - 1];"
            f"(async (...given) => {{ {script} }})(...[...arguments].slice(0, -1))"
            ".then(done, error => done(`thrown: ${error.name}`));"
        )
        return self._call("POST", "/execute/async", {"script": wrapped, "args": list(arguments)})

    def press(self, element: str) -> str:
        """Press a button, and give what the page shows in `result` then."""
        self.run("document.getElementById('result').textContent = '…'")
        found = self._call("POST", "/element", {"using": "css selector", "value": f"#{element}"})
        self._call("POST", f"/element/{next(iter(found.values()))}/click", {})
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            shown: str = self.run("return document.getElementById('result').textContent")
            if shown != "…":
                return shown
            time.sleep(0.05)
        raise TimeoutError(f"nothing came of pressing {element}")

    def add_authenticator(self) -> str:
        """Give the browser a passkey's holder that recognises its user; gives its id."""
        wanted = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "isUserConsenting": True,
        }
        made: str = self._call("POST", "/webauthn/authenticator", wanted)
        return made

    def remove_authenticator(self, name: str) -> None:
        """Take it away with all its passkeys."""
        self._call("DELETE", f"/webauthn/authenticator/{name}")

    def recognise_user(self, name: str, *, recognised: bool) -> None:
        """Whether the holder recognises its user from now on."""
        self._call("POST", f"/webauthn/authenticator/{name}/uv", {"isUserVerified": recognised})

    def close(self) -> None:
        """End the browser."""
        self._call("DELETE", "")


@contextmanager
def open_browser(folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own, whose processes are gone afterwards."""
    assert DRIVER is not None
    with (folder / "driver.log").open("wb") as log:
        driver = subprocess.Popen(
            [DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        browser = Browser(_port_of(driver), folder / "profile")
        try:
            yield browser
        finally:
            browser.close()
    finally:
        driver.terminate()
        driver.wait(_SECONDS)
        assert driver.stdout is not None
        driver.stdout.close()


def _port_of(driver: "subprocess.Popen[bytes]") -> int:
    assert driver.stdout is not None
    said, end = b"", time.monotonic() + _SECONDS
    while (left := end - time.monotonic()) > 0:
        if select.select([driver.stdout], [], [], left)[0]:
            piece = os.read(driver.stdout.fileno(), 1000)
            said += piece
            if found := re.search(rb"started successfully on port (\d+)\.?\s", said):
                return int(found[1])
            if not piece:
                break
    raise TimeoutError(f"the driver did not say its port: {said.decode()}")
