"""Keys that are bound to the user's PIN: asked for at the terminal, without echo, and nowhere else."""

import asyncio
import codecs
import json
import os
import pty
import re
import select
import subprocess
import termios
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from huks_async import BusinessError, Caller, Keystore
from huks_async.access import Lockout, PinAuthenticator
from huks_async.cli.words.parameters import KINDS, options
from tests.cli.command_line import Huks
from tests.cli.warm import warm

PIN, OTHER = "correct horse", "battery staple"


def at_terminal(*words: object, typed: Sequence[str] = ()) -> tuple[int, str]:
    """Run the command at a terminal of its own and type a line at each prompt; gives its code and all that it shows."""
    parent, child = pty.openpty()
    process = warm().start([str(word) for word in words], [child] * 3, terminal=True)
    os.close(child)
    shown, waiting, deadline = "", list(typed), time.monotonic() + 120
    decoder = codecs.getincrementaldecoder("utf-8")()  # a read may end within a character
    asked = 0
    while time.monotonic() < deadline:
        if select.select([parent], [], [], 0.05)[0]:
            try:
                data = os.read(parent, 65536)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            shown += decoder.decode(data)
        # only where nothing is shown is anything typed: the prompt is there before the echo is off
        silent = not termios.tcgetattr(parent)[3] & termios.ECHO
        if waiting and silent and shown.count("PIN") + shown.count("again") > asked and shown.endswith(": "):
            asked = shown.count("PIN") + shown.count("again")
            os.write(parent, f"{waiting.pop(0)}\n".encode())
    code = process.wait()
    os.close(parent)
    assert not waiting, shown
    for pin in typed:
        assert pin not in shown
    return code, shown


@pytest.fixture
def enrolled(home: Path) -> None:
    """The user has a PIN."""
    code, shown = at_terminal("access", "enroll", typed=[PIN, PIN])
    assert (code, "has a new PIN" in shown) == (0, True), shown


def test_the_life_of_a_pin(huks: Huks) -> None:
    """Given, told, changed with the old one alone, cleared."""
    assert huks("access", "status").out == b"user 100: no PIN\n"
    code, shown = at_terminal("access", "enroll", typed=[PIN, OTHER])
    assert (code, "the two PINs differ" in shown) == (1, True)
    assert at_terminal("access", "enroll", typed=[PIN, PIN])[0] == 0
    assert b'"pin": true' in huks("access", "status", "--json").out
    code, shown = at_terminal("access", "enroll", typed=[PIN, PIN])
    assert (code, "12000017" in shown) == (1, True)
    assert "hint: huks access enroll --change" in shown
    code, shown = at_terminal("access", "enroll", "--change", typed=[OTHER, OTHER, OTHER])
    assert (code, "12000008" in shown) == (1, True)
    assert ("type the right PIN" in shown, "session" in shown) == (True, False)
    assert at_terminal("access", "enroll", "--change", typed=[PIN, OTHER, OTHER])[0] == 0
    refused = huks("access", "clear")
    assert (refused.code, "--yes" in refused.err) == (2, True)
    assert huks("access", "clear", "--yes").code == 0
    assert huks("access", "status").out == b"user 100: no PIN\n"


@pytest.mark.usefixtures("enrolled")
def test_a_key_tells_its_demands_by_name(huks: Huks) -> None:
    """Enums by their names, the purposes that ask as those of the key."""
    huks("keys", "generate", "k", "--auth", "pin", "--auth-purpose", "decrypt")
    lines = huks("keys", "show", "k").out.decode().splitlines()
    assert "key_auth_purpose: decrypt" in lines
    assert "user_auth_type: HUKS_USER_AUTH_TYPE_PIN" in lines
    assert "challenge_type: HUKS_CHALLENGE_TYPE_NORMAL" in lines
    told = json.loads(huks("keys", "show", "k", "--json").out)["properties"]
    by_tag = {one["tag"]: one for one in told}
    assert by_tag["HUKS_TAG_KEY_AUTH_PURPOSE"]["purposes"] == ["decrypt"]
    assert by_tag["HUKS_TAG_KEY_AUTH_ACCESS_TYPE"]["name"] == "HUKS_AUTH_ACCESS_INVALID_CLEAR_PASSWORD"
    assert by_tag["HUKS_TAG_CHALLENGE_TYPE"]["name"] == "HUKS_CHALLENGE_TYPE_NORMAL"


@pytest.mark.usefixtures("enrolled")
@pytest.mark.parametrize("kind", ["ecdsa-p256", "ed25519"])
def test_a_key_asks_for_the_pin_at_each_use(huks: Huks, document: Path, tmp_path: Path, kind: str) -> None:
    """The right one signs and is shown nowhere; a wrong one, or no terminal, leaves no output."""
    assert huks("keys", "generate", "k", "--kind", kind, "--auth", "pin", "--auth-purpose", "sign").code == 0
    signature = tmp_path / "signature"
    for _ in range(2):
        code, shown = at_terminal("sign", "k", document, "-o", signature, "--force", typed=[PIN])
        assert code == 0, shown
    assert "PIN for the key 'k': " in shown
    assert huks("verify", "k", document, "-s", signature).code == 0  # the purpose needs no PIN
    other = tmp_path / "other"
    code, shown = at_terminal("sign", "k", document, "-o", other, typed=[OTHER])
    assert (code, "12000008" in shown, other.exists()) == (1, True, False)
    done = without_terminal("sign", "k", document, "-o", other)
    assert done.returncode == 1
    assert b"there is no terminal to ask at" in done.stderr
    assert b"hint: --token-file FILE" in done.stderr
    assert not other.exists()


def without_terminal(*words: object) -> "subprocess.CompletedProcess[bytes]":
    """Run the command where there is no terminal to open."""
    return warm().run([str(word) for word in words], None)


# key, and how a file is made with it and read
SEALING = {
    "aes": (("--kind", "aes-256-gcm"), ()),
    "format 1": (("--kind", "aes-256-gcm"), ("--format", "1")),
    "hmac": (("--algorithm", "hmac", "--size", "256"), ("--format", "2")),
    "rsa": (("--algorithm", "rsa", "--size", "2048", "-p", "encrypt", "-p", "decrypt"), ()),
    "sm2": (("--algorithm", "sm2", "--size", "256", "-p", "encrypt", "-p", "decrypt"), ()),
}


@pytest.mark.usefixtures("enrolled")
@pytest.mark.parametrize("way", SEALING)
def test_files_are_sealed_with_a_key_that_asks(huks: Huks, document: Path, tmp_path: Path, way: str) -> None:
    """The PIN is asked for once each time; a wrong one, or no terminal, leaves no output."""
    (kind, form), sealed, opened = SEALING[way], tmp_path / "sealed", tmp_path / "opened"
    made = huks("keys", "generate", "k", *kind, "--auth", "pin")
    assert made.code == 0, made.err
    if way in ("rsa", "sm2"):
        document.write_bytes(b"a short secret")
    done = without_terminal("encrypt", *form, "k", document, "-o", sealed)
    assert (done.returncode, b"there is no terminal to ask at" in done.stderr) == (1, True), done.stderr
    code, shown = at_terminal("encrypt", *form, "k", document, "-o", sealed, typed=[OTHER])
    assert (code, "12000008" in shown, sealed.exists()) == (1, True, False), shown
    code, shown = at_terminal("encrypt", *form, "k", document, "-o", sealed, typed=[PIN])
    assert (code, shown.count("PIN for the key 'k': ")) == (0, 1), shown
    done = without_terminal("decrypt", "k", sealed, "-o", opened)
    assert (done.returncode, b"hint: --token-file FILE" in done.stderr) == (1, True), done.stderr
    code, shown = at_terminal("decrypt", "k", sealed, "-o", opened, typed=[OTHER])
    assert (code, "12000008" in shown, opened.exists()) == (1, True, False), shown
    code, shown = at_terminal("decrypt", "k", sealed, "-o", opened, typed=[PIN])
    assert (code, shown.count("PIN for the key 'k': ")) == (0, 1), shown
    assert opened.read_bytes() == document.read_bytes()


@pytest.mark.usefixtures("enrolled")
def test_a_key_that_asks_for_the_pin_to_decrypt_alone(huks: Huks, document: Path, tmp_path: Path) -> None:
    """Anything may be put in without the PIN, and nothing taken out."""
    sealed, opened = tmp_path / "sealed", tmp_path / "opened"
    assert huks("keys", "generate", "k", "--auth", "pin", "--auth-purpose", "decrypt").code == 0
    done = without_terminal("encrypt", "k", document, "-o", sealed)
    assert done.returncode == 0, done.stderr
    assert without_terminal("decrypt", "k", sealed, "-o", opened).returncode == 1
    code, shown = at_terminal("decrypt", "k", sealed, "-o", opened, typed=[PIN])
    assert code == 0, shown
    assert opened.read_bytes() == document.read_bytes()


@pytest.mark.usefixtures("enrolled")
def test_format_1_and_a_key_with_purposes_of_its_own(huks: Huks, document: Path) -> None:
    """Which takes no nonce from outside: that is said with the way out, and nothing is in the pipe."""
    assert huks("keys", "generate", "k", "--auth", "pin", "--auth-purpose", "decrypt").code == 0
    done = huks("encrypt", "k", document, "--format", "1")
    assert (done.code, done.out) == (1, b"")
    assert "hint: leave out --format 1" in done.err

    async def make() -> None:
        asks_nobody = {**KINDS["aes-256-gcm"], "KEY_AUTH_PURPOSE": 2, "AUTH_STORAGE_LEVEL": 1}
        async with Keystore.open() as keystore:
            await keystore.generateKeyItem("free", options(**asks_nobody))

    asyncio.run(make())
    sealed = document.with_name("sealed")
    assert huks("encrypt", "free", document, "--format", "1", "-o", sealed).code == 0
    assert huks("decrypt", "free", sealed).out == document.read_bytes()


@pytest.mark.usefixtures("enrolled")
def test_no_beginning_of_format_1_without_the_pin(huks: Huks, document: Path) -> None:
    """The head of the file waits until the user was there; a file of nothing has it, too."""
    assert huks("keys", "generate", "k", "--auth", "pin").code == 0
    done = without_terminal("encrypt", "k", document, "--format", "1")
    assert (done.returncode, done.stdout) == (1, b"")
    assert huks("keys", "generate", "free").code == 0
    document.write_bytes(b"")
    sealed = huks("encrypt", "free", document, "--format", "1").out
    assert (sealed[:8], len(sealed)) == (b"huksenc\x01", 8 + 12 + 16)


@pytest.mark.usefixtures("enrolled")
def test_a_key_that_ended_with_the_pin(huks: Huks, document: Path, tmp_path: Path) -> None:
    """Nobody is asked a PIN for it, nor told to enrol one; a key that stays is asked for, and advice is given."""
    for alias, access in (("ended", "clear-password"), ("stays", "always")):
        made = huks("keys", "generate", alias, "--auth", "pin", "--auth-access", access)
        assert made.code == 0, made.err
        assert at_terminal("encrypt", alias, document, "-o", tmp_path / alias, typed=[PIN])[0] == 0
    assert huks("access", "clear", "--yes").code == 0
    for words in (
        ("encrypt", "ended", document),
        ("encrypt", "ended", document, "--format", "1"),
        ("decrypt", "ended", tmp_path / "ended"),
    ):
        code, shown = at_terminal(*words, "-o", tmp_path / "out")
        assert (code, "(code 12000007)" in shown, "PIN for" in shown) == (1, True, False), shown
        assert ("make a new key" in shown, "enroll" in shown) == (True, False)
    code, shown = at_terminal("decrypt", "stays", tmp_path / "stays", "-o", tmp_path / "out", typed=[PIN])
    assert (code, "12000013" in shown, "huks access enroll" in shown) == (1, True, True), shown


@pytest.mark.usefixtures("enrolled")
def test_several_keys_that_ask_ask_once(huks: Huks, document: Path, tmp_path: Path) -> None:
    """The PIN is the user's, so that one answer serves all keys of a file; a key without demands needs none."""
    sealed, opened = tmp_path / "sealed", tmp_path / "opened"
    for name, auth in {"a": ("--auth", "pin"), "b": ("--auth", "pin"), "free": ()}.items():
        assert huks("keys", "generate", name, *auth).code == 0
    keys = ("-k", "a", "-k", "b", "-k", "free")
    code, shown = at_terminal("encrypt", *keys, document, "-o", sealed, typed=[PIN])
    assert (code, shown.count("PIN for the key")) == (0, 1), shown
    assert huks("decrypt", "free", sealed, "-o", opened).code == 0
    for name in ("a", "b"):
        code, shown = at_terminal("decrypt", name, sealed, "-o", opened, "--force", typed=[PIN])
        assert code == 0, shown
        assert opened.read_bytes() == document.read_bytes()


@pytest.mark.usefixtures("enrolled")
def test_files_and_a_token_in_a_file(huks: Huks, document: Path, tmp_path: Path) -> None:
    """A token serves `huks encrypt` and `huks decrypt` without a terminal, where the key compares the time."""
    timed = ("--auth", "pin", "--auth-challenge", "none", "--auth-timeout", 3600)
    assert huks("keys", "generate", "k", *timed).code == 0
    token, sealed, opened = tmp_path / "token", tmp_path / "sealed", tmp_path / "opened"
    assert at_terminal("access", "token", "-o", token, typed=[PIN])[0] == 0
    done = without_terminal("encrypt", "k", document, "-o", sealed, "--token-file", token)
    assert done.returncode == 0, done.stderr
    done = without_terminal("decrypt", "k", sealed, "-o", opened, "--token-file", token)
    assert done.returncode == 0, done.stderr
    assert opened.read_bytes() == document.read_bytes()


@pytest.mark.usefixtures("enrolled")
@pytest.mark.parametrize(
    ("key", "command_words"),
    [
        (("--algorithm", "hmac", "--size", "256"), ("mac", "k", "FILE")),
        (("--algorithm", "aes", "--size", "256", "-p", "derive"), ("derive", "k")),
    ],
    ids=["mac", "derive"],
)
def test_codes_and_derivations_ask_for_the_pin(
    huks: Huks, document: Path, tmp_path: Path, key: tuple[str, ...], command_words: tuple[str, ...]
) -> None:
    """As signatures do: `huks mac` and `huks derive`, with the PIN, a wrong one, and no terminal."""
    assert huks("keys", "generate", "k", *key, "--auth", "pin").code == 0
    words, out = [document if word == "FILE" else word for word in command_words], tmp_path / "out"
    done = without_terminal(*words, "-o", out)
    assert (done.returncode, b"there is no terminal to ask at" in done.stderr) == (1, True), done.stderr
    code, shown = at_terminal(*words, "-o", out, typed=[OTHER])
    assert (code, "12000008" in shown, out.exists()) == (1, True, False), shown
    code, shown = at_terminal(*words, "-o", out, typed=[PIN])
    assert (code, out.stat().st_size) == (0, 32), shown


@pytest.mark.usefixtures("enrolled")
def test_a_token_in_a_file(huks: Huks, document: Path, tmp_path: Path) -> None:
    """It serves, without a terminal, keys with a time in the place of a challenge, and no other key."""
    timed = ("--auth", "pin", "--auth-challenge", "none", "--auth-timeout", 3600)
    assert huks("keys", "generate", "timed", "--kind", "ed25519", *timed).code == 0
    assert huks("keys", "generate", "strict", "--kind", "ed25519", "--auth", "pin").code == 0
    token = tmp_path / "token"
    code, shown = at_terminal("access", "token", "-o", token, typed=[PIN])
    assert code == 0, shown
    assert token.stat().st_mode & 0o777 == 0o600
    signature = tmp_path / "signature"
    for _ in range(2):
        done = without_terminal("sign", "timed", document, "-o", signature, "--force", "--token-file", token)
        assert done.returncode == 0, done.stderr
    done = without_terminal("sign", "strict", document, "-o", tmp_path / "x", "--token-file", token)
    assert done.returncode == 1
    assert b"12000008" in done.stderr
    data = token.read_bytes()
    for wrong in (data[:-1], data + b"x", b""):
        token.write_bytes(wrong)
        done = without_terminal("sign", "timed", document, "-o", tmp_path / "x", "--token-file", token)
        assert (done.returncode, b"holds no token" in done.stderr) == (1, True)
    token.write_bytes(bytes([data[0], data[1] ^ 1]) + data[2:])
    done = without_terminal("sign", "timed", document, "-o", tmp_path / "x", "--token-file", token)
    assert done.returncode == 1
    assert not (tmp_path / "x").exists()


class _AnyUser:
    """Lets programs act for any user."""

    def may_act_for(self, caller: Caller, user_id: int) -> bool:
        return True

    def groups_of(self, caller: Caller) -> Collection[str]:
        return ()


async def _token_of_user(user_id: int) -> bytes:
    """Give another user a PIN, and make a token of it, as a program does that serves several users."""
    pin = PinAuthenticator()
    async with Keystore.open(authenticator=pin, token_keys="store", policy=_AnyUser()) as keystore:
        await pin.enroll(keystore, user_id, OTHER)
        return await keystore.authenticate(b"", OTHER, user_id=user_id)


@pytest.mark.usefixtures("enrolled")
def test_a_token_of_another_user(huks: Huks, document: Path, tmp_path: Path) -> None:
    """The key is sound, and the first advice is not to replace it."""
    demands = ("--auth", "pin", "--auth-access", "always", "--auth-challenge", "none", "--auth-timeout", 600)
    assert huks("keys", "generate", "k", "--kind", "ed25519", *demands).code == 0
    token = tmp_path / "token"
    token.write_bytes(asyncio.run(_token_of_user(101)))
    done = huks("sign", "k", document, "-o", tmp_path / "signature", "--token-file", token)
    assert (done.code, "of another user than the key's (code 12000007)" in done.err) == (1, True), done.err
    assert "hint: give a token of the key's user;" in done.err


@pytest.mark.usefixtures("enrolled")
def test_a_token_from_standard_input(huks: Huks, document: Path, tmp_path: Path) -> None:
    """By either name; it is read once, also for several keys, and is never a second file of the command."""
    timed = ("--auth", "pin", "--auth-challenge", "none", "--auth-timeout", 3600)
    for alias, kind in {"m": ("-a", "hmac", "-s", 256), "s": ("-k", "ed25519"), "a": (), "b": ()}.items():
        assert huks("keys", "generate", alias, *kind, *timed).code == 0
    assert huks("keys", "generate", "x", "-a", "x25519", *timed).code == 0
    peer, token, sealed = tmp_path / "peer", tmp_path / "token", tmp_path / "sealed"
    assert huks("keys", "export", "x", "-o", peer).code == 0
    assert at_terminal("access", "token", "-o", token, typed=[PIN])[0] == 0
    shown = token.read_bytes()
    for words in (
        ("mac", "m", document, "--token-file", "-"),
        ("sign", "s", document, "--token-file", "/dev/stdin"),
        ("agree", "x", peer, "--token-file", "-"),
        ("encrypt", "-k", "a", "-k", "b", document, "-o", sealed, "--token-file", "-"),
        ("decrypt", "b", sealed, "--token-file", "-"),
    ):
        done = warm().run([str(word) for word in words], shown)
        assert done.returncode == 0, done.stderr
    for words in (
        ("mac", "m"),
        ("mac", "m", document, "--check", "-"),
        ("sign", "s", "-"),
        ("verify", "s", document, "-s", "-"),
        ("verify", "s", "-s", document),
        ("agree", "x", "-"),
        ("encrypt", "a"),
        ("encrypt", "a", "--format", "1"),
        ("encrypt", "-k", "a", "-k", "b"),
        ("decrypt", "a"),
    ):
        for name in ("-", "/dev/stdin"):
            done = warm().run([*map(str, words), "--token-file", name], shown)
            assert (done.returncode, done.stdout) == (2, b""), words
            assert b"standard input can be one of the files only" in done.stderr
    assert huks("mac", "m", document, "--token-file", "-x").code == 2


def test_words_that_do_not_go_together(huks: Huks) -> None:
    """Told as wrong usage; a key that demands what nobody has enrolled is not made."""
    for words in (
        ("--auth", "face"),
        ("--auth-access", "always"),
        ("--auth", "pin", "--auth-challenge", "none"),
        ("--auth", "pin", "--auth-timeout", 10),
        ("--auth", "pin", "--auth-access", "never"),
        ("--auth", "pin", "--auth-purpose", "sing"),
    ):
        assert huks("keys", "generate", "k", *words).code == 2, words
    done = huks("keys", "generate", "k", "--auth", "pin")
    assert (done.code, "12000013" in done.err) == (1, True)
    assert huks("keys", "list").out == b""


async def _guess_wrongly(times: int) -> None:
    """Wrong guesses by a program that lets more of them pass than the command does."""
    lenient = PinAuthenticator(lockout=Lockout(free=100))
    async with Keystore.open(authenticator=lenient) as keystore:
        for _ in range(times):
            with pytest.raises(BusinessError, match="the PIN is wrong"):
                await keystore.authenticate(bytes(32), OTHER)


@pytest.mark.usefixtures("enrolled")
def test_what_a_wrong_pin_and_a_lockout_advise(huks: Huks, document: Path) -> None:
    """Words for whoever types: the PIN again, or the seconds to wait; nothing of challenges and sessions."""
    assert huks("keys", "generate", "k", "--auth", "pin").code == 0
    for _ in range(5):
        code, shown = at_terminal("encrypt", "k", document, "-o", "x", typed=[OTHER])
        assert (code, "type the right PIN" in shown, "challenge" in shown) == (1, True, False), shown
    # five were free; a few more make the wait so long that it is not over before the commands below are
    asyncio.run(_guess_wrongly(4))
    for words in (("encrypt", "k", document, "-o", "x"), ("access", "token", "-o", "x")):
        code, shown = at_terminal(*words, typed=[PIN])
        assert code == 1
        seconds = re.search(r"possible in (\d+) seconds", shown)
        assert seconds is not None, shown
        assert f"hint: call the command again after {seconds[1]} seconds" in shown
        assert "challenge" not in shown


@pytest.mark.usefixtures("enrolled")
def test_a_key_that_unwraps_asks_for_no_pin(huks: Huks) -> None:
    """import-wrapped could not show the PIN, so that no command could use the key."""
    for kind in (
        ("--kind", "unwrap-x25519"),
        ("--kind", "unwrap-p256"),
        ("--kind", "unwrap-sm2"),
        ("--kind", "unwrap-x25519", "--auth-purpose", "agree"),
        ("--algorithm", "x25519", "--purpose", "unwrap"),
    ):
        done = huks("keys", "generate", "u", *kind, "--auth", "pin")
        assert (done.code, "import-wrapped" in done.err) == (2, True), done.err
    assert huks("keys", "list").out == b""
    assert huks("keys", "generate", "u", "--kind", "unwrap-x25519").code == 0
