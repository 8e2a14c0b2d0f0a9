"""Words of the command that nobody means: empty names of files, and numbers that count nothing."""

from pathlib import Path

import pytest

from tests.cli.command_line import Huks

_LONG = "9" * 5000
_NUMBERS = [_LONG, f"0x{_LONG}", "9.e400", "2.5", "-1", "", "²", "9" * 19]


@pytest.mark.parametrize("number", _NUMBERS, ids=lambda number: f"{number[:8]} of {len(number)}")
@pytest.mark.parametrize(
    "words",
    [
        ("keys", "generate", "k", "--algorithm", "aes", "--size=NUMBER"),
        ("keys", "generate", "k", "--auth", "pin", "--auth-challenge", "none", "--auth-timeout=NUMBER"),
        ("keys", "import", "k", "x", "--auth", "pin", "--auth-challenge", "none", "--auth-timeout=NUMBER"),
        ("keys", "import-wrapped", "k", "x", "--with", "w", "--algorithm", "aes", "--size=NUMBER"),
        ("derive", "k", "--bytes=NUMBER"),
        ("derive", "k", "--by", "pbkdf2", "--iterations=NUMBER"),
        ("keys", "list", "--level=NUMBER"),
        ("demo", "--size=NUMBER"),
        ("decrypt", "k", "x", "--range=NUMBER:x"),
        ("decrypt", "k", "x", "--range=x:NUMBER"),
    ],
    ids=" ".join,
)
def test_numbers_that_count_nothing(huks: Huks, words: tuple[str, ...], number: str) -> None:
    """Code 2 and a line, whatever was typed in the place of a number."""
    done = huks(*(word.replace("NUMBER", number) for word in words))
    assert (done.code, done.out) == (2, b""), done.err
    assert done.err.startswith("error: ")


@pytest.mark.parametrize("text", [f"{_LONG}:", f":{_LONG}", "-1:", "²:"])
def test_ranges_that_count_nothing(huks: Huks, text: str) -> None:
    """The same for both ends of a range; the message does not repeat thousands of digits."""
    done = huks("decrypt", "k", "x", "--range", text)
    assert (done.code, "is no range" in done.err, len(done.err) < 300) == (2, True, True)


def test_numbers_with_zeros_in_front(huks: Huks) -> None:
    """They are the numbers without these."""
    done = huks("keys", "generate", "k", "--algorithm", "aes", "--size", "0" * 5000 + "256")
    assert (done.code, "aes 256" in done.err) == (0, True), done.err


@pytest.mark.parametrize(
    "words",
    [
        ("encrypt", "k", ""),
        ("encrypt", "-k", "k", ""),
        ("encrypt", "--format", "1", "k", ""),
        ("decrypt", "k", ""),
        ("decrypt", "-k", "k", ""),
        ("sign", "s", ""),
        ("verify", "s", "", "-s", "FILE"),
        ("verify", "s", "FILE", "-s", ""),
        ("mac", "m", "", "--hex"),
        ("mac", "m", "FILE", "--check", ""),
        ("agree", "x", ""),
        ("demo", ""),
        ("keys", "import", "k2", ""),
        ("keys", "import", "k2", "FILE", "--passphrase-file", ""),
        ("keys", "import-wrapped", "k2", "", "--with", "x", "--algorithm", "aes", "--size", "256"),
        ("keys", "convert", "", "--to", "jwk"),
        ("keys", "describe", ""),
        ("keys", "wrap", "", "--algorithm", "aes", "--for", "FILE"),
        ("keys", "wrap", "FILE", "--algorithm", "aes", "--for", ""),
        ("verify-attestation", "", "-c", "00", "-r", "ROOT"),
        ("verify-attestation", "FILE", "-c", "00", "-r", ""),
    ],
    ids=" ".join,
)
def test_an_empty_name_of_an_input(huks: Huks, tmp_path: Path, words: tuple[str, ...]) -> None:
    """It is refused as wrong usage and never taken for standard input, nor for the folder."""
    for alias, kind in {"s": "ed25519", "k": "aes-256-gcm"}.items():
        huks("keys", "generate", alias, "--kind", kind)
    huks("keys", "generate", "m", "--algorithm", "hmac", "--size", "256")
    huks("keys", "generate", "x", "--algorithm", "x25519")
    file, root = tmp_path / "file", tmp_path / "root.pem"
    file.write_bytes(bytes(range(32)))
    huks("keys", "attestation-root", "-o", root)
    names = {"FILE": file, "ROOT": root}
    done = huks(*(names.get(word, word) for word in words))
    assert (done.code, done.out) == (2, b""), done.err
    assert "the name of the input is empty" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ("keys", "list", "--store", "foo"),
        ("keys", "list", "--store", "sqlite://keys.db"),
        ("store", "backup", "copy.db", "--store", "foo"),
        ("store", "backup", ""),
        ("keys", "generate", ""),
        ("keys", "generate", "k" * 5000),
        ("keys", "generate", "\udcff"),
        ("keys", "show", ""),
        ("keys", "delete", "", "--yes"),
        ("keys", "import-wrapped", "k", "x", "--with", "", "--algorithm", "aes"),
        ("encrypt", "", "x"),
        ("decrypt", "-k", "k", "-k", "", "x"),
        ("sign", "", "x"),
        ("keys", "list", "--namespace", ""),
        ("keys", "list", "--namespace", "\udcff"),
    ],
    ids=ascii,
)
def test_names_that_nothing_can_have(huks: Huks, words: tuple[str, ...]) -> None:
    """Code 2 and a line: the words alone show that they are wrong."""
    done = huks(*words)
    assert (done.code, done.out) == (2, b""), done.err
    assert done.err.startswith("error: ")
    assert len(done.err) < 400


@pytest.mark.parametrize("words", [("keys", "list"), ("keys", "generate", "k"), ("doctor",)], ids=ascii)
def test_a_wrong_variable_is_no_wrong_usage(
    huks: Huks, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No word shows it, so the code is 1; the doctor reports it among the rest."""
    monkeypatch.setenv("HUKS_ASYNC_PROFILE", "Server")
    done = huks(*words)
    assert done.code == 1
    assert "$HUKS_ASYNC_PROFILE: got 'Server'" in (done.out.decode() if words == ("doctor",) else done.err)


@pytest.mark.parametrize(
    ("more", "told"), [(("f",), "a word too many: 'f'"), (("f", "g"), "words too many: 'f', 'g'")]
)
def test_words_too_many(huks: Huks, document: Path, more: tuple[str, ...], told: str) -> None:
    """They are named in words, and the code is 2."""
    done = huks("encrypt", "k", document, *more)
    assert (done.code, done.out) == (2, b"")
    assert done.err.startswith(f"error: {told}\n")
