"""`huks keys generate`: every row of the support matrix, and what does not go together."""

import asyncio
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import huks_async
from huks_async.cli.words.key_use import ALGORITHM_NAMES
from huks_async.cli.words.parameters import options, properties
from huks_async.crypto.rules.matrix import (
    AGREE,
    ALGORITHMS,
    CIPHER,
    MAC,
    SIGNATURE,
    WRAPPING,
    Form,
    Usage,
)
from huks_async.model.enums import HuksCipherMode, HuksKeyDigest, HuksKeyPadding, HuksKeyPurpose
from huks_async.model.tags import HuksTag
from tests.cli.command_line import Huks

_PADDING_WORDS = {
    HuksKeyPadding.HUKS_PADDING_NONE: "none",
    HuksKeyPadding.HUKS_PADDING_OAEP: "oaep",
    HuksKeyPadding.HUKS_PADDING_PSS: "pss",
    HuksKeyPadding.HUKS_PADDING_PKCS1_V1_5: "pkcs1",
    HuksKeyPadding.HUKS_PADDING_PKCS7: "pkcs7",
}
pytestmark = pytest.mark.filterwarnings("ignore::huks_async.HuksLegacyWarning")

# one size that is quick, and that all generate without an extra
_QUICK = {"rsa": 2048, "dsa": 1024, "dh": 2048}


def _rows() -> Iterator[tuple[str, int, Usage, Form, int | None]]:
    for word, number in ALGORITHM_NAMES.items():
        for usage in ALGORITHMS[number].usages:
            sizes = usage.sizes or ALGORITHMS[number].sizes
            first = sizes[0] if isinstance(sizes[0], int) else sizes[0][-1]
            size = _QUICK.get(word, first)
            for form in usage.forms:
                for digest in {form.digests[0], form.digests[-1]} if form.digests else {None}:
                    yield word, size, usage, form, digest


def _words(usage: Usage, form: Form, digest: int | None) -> Iterator[str]:
    for purpose in HuksKeyPurpose:
        if purpose & usage.purposes:
            yield from ("--purpose", purpose.name.removeprefix("HUKS_KEY_PURPOSE_").lower())
    if form.mode is not None:
        yield from ("--mode", HuksCipherMode(form.mode).name.removeprefix("HUKS_MODE_").lower())
    if form.padding is not None:
        yield from ("--padding", _PADDING_WORDS[HuksKeyPadding(form.padding)])
    if digest is not None:
        yield from ("--digest", HuksKeyDigest(digest).name.removeprefix("HUKS_DIGEST_").lower())


def _properties(alias: str) -> dict[int, object]:
    async def look() -> dict[int, object]:
        async with huks_async.Keystore.open() as keystore:
            found = await keystore.getKeyItemProperties(alias, {"properties": []})
        return {int(param.tag): param.value for param in found.properties}

    return asyncio.run(look())


ROWS = list(_rows())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{' '.join(_words(*row[2:]))}")
def test_every_row_can_be_made(huks: Huks, row: tuple[str, int, Usage, Form, int | None]) -> None:
    """Each combination that `huks algorithms` prints makes a key that is for exactly this."""
    word, size, usage, form, digest = row
    done = huks("keys", "generate", "k", "--algorithm", word, "--size", size, *_words(usage, form, digest))
    if "sm2" in word and "needs" in done.err:
        pytest.skip(done.err)
    assert (done.code, done.out) == (0, b""), done.err
    stored = _properties("k")
    assert stored[HuksTag.HUKS_TAG_ALGORITHM] == ALGORITHM_NAMES[word]
    assert stored[HuksTag.HUKS_TAG_KEY_SIZE] == size
    assert stored[HuksTag.HUKS_TAG_PURPOSE] == usage.purposes
    for tag, value in (
        (HuksTag.HUKS_TAG_BLOCK_MODE, form.mode),
        (HuksTag.HUKS_TAG_PADDING, form.padding),
        (HuksTag.HUKS_TAG_DIGEST, digest),
    ):
        assert value is None or stored[tag] == value


def test_the_rows_are_all_there() -> None:
    """The sweep above is not empty by a mistake: each algorithm has its usages in it."""
    assert {(word, id(usage)) for word, _, usage, _, _ in ROWS} == {
        (word, id(usage)) for word, number in ALGORITHM_NAMES.items() for usage in ALGORITHMS[number].usages
    }


@pytest.mark.parametrize("word", [word for word in ALGORITHM_NAMES if word != "rsa"])
def test_without_more_words_a_key_is_for_the_usual(huks: Huks, word: str) -> None:
    """An algorithm and a size are enough."""
    sizes = ALGORITHMS[ALGORITHM_NAMES[word]].sizes
    size = _QUICK.get(word, sizes[0] if isinstance(sizes[0], int) else sizes[0][-1])
    done = huks("keys", "generate", "k", "-a", word, "-s", size)
    assert done.code == 0, done.err
    assert done.err.startswith(f"made the key 'k' ({word} {size}, to ")


_PAIRS = {
    "rsa": SIGNATURE,
    "ecc": SIGNATURE,
    "dsa": SIGNATURE,
    "ed25519": SIGNATURE,
    "sm2": SIGNATURE,
    "ml-dsa": SIGNATURE,
    "dh": AGREE,
    "x25519": AGREE,
    "ml-kem": WRAPPING,
}
_SYMMETRIC = {word: MAC if word in ("hmac", "sm3", "cmac") else CIPHER for word in ALGORITHM_NAMES}
_USUAL = _SYMMETRIC | _PAIRS


@pytest.mark.parametrize("word", ALGORITHM_NAMES)
def test_a_new_key_does_both_halves_of_its_use(huks: Huks, document: Path, tmp_path: Path, word: str) -> None:
    """Without --purpose it signs and verifies, encrypts and decrypts, wraps and unwraps, agrees, or makes codes."""
    sizes = ALGORITHMS[ALGORITHM_NAMES[word]].sizes
    size = _QUICK.get(word, sizes[0] if isinstance(sizes[0], int) else sizes[0][-1])
    assert huks("keys", "generate", "k", "-a", word, "-s", size).code == 0
    purposes = _USUAL[word]
    assert _properties("k")[HuksTag.HUKS_TAG_PURPOSE] == purposes
    made = tmp_path / "made"
    if purposes == SIGNATURE:
        steps: list[tuple[object, ...]] = [
            ("sign", "k", document, "-o", made),
            ("verify", "k", document, "-s", made),
        ]
    elif purposes == MAC:
        steps = [("mac", "k", document, "-o", made), ("mac", "k", document, "--check", made)]
    elif purposes == AGREE:
        steps = [("keys", "export", "k", "-o", made), ("agree", "k", made, "-o", tmp_path / "agreed")]
    elif word == "aes":
        steps = [("encrypt", "k", document, "-o", made), ("decrypt", "k", made, "-o", tmp_path / "again")]
    else:
        steps = []
        asyncio.run(_there_and_back(word, size))
    for step in steps:
        done = huks(*step)
        assert done.code == 0, done.err


async def _there_and_back(word: str, size: int) -> None:
    """Use a key whose use is none of the command's."""
    async with huks_async.Keystore.open() as keystore:
        if word == "ml-kem":
            named = properties(ALGORITHM=ALGORITHM_NAMES[word])
            made = await keystore.encapsulate("k", named)
            opened = await keystore.decapsulate("k", named, made.outData)
            assert opened.sharedSecret == made.sharedSecret
            return
        cipher = {
            "ALGORITHM": ALGORITHM_NAMES[word],
            "KEY_SIZE": size,
            "BLOCK_MODE": HuksCipherMode.HUKS_MODE_CBC,
            "PADDING": HuksKeyPadding.HUKS_PADDING_NONE,
            "IV": bytes(16 if word == "sm4" else 8),
        }
        text = bytes(range(64))
        for purpose in (HuksKeyPurpose.HUKS_KEY_PURPOSE_ENCRYPT, HuksKeyPurpose.HUKS_KEY_PURPOSE_DECRYPT):
            async with keystore.session("k", options(**cipher, PURPOSE=purpose)) as session:
                text = await session.finish(text)
        assert text == bytes(range(64))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--kind", "", "--size", "256"), "there is no kind ''"),
        (("--algorithm", "", "--size", "256"), "there is no algorithm ''"),
        (("--kind", "", "--algorithm", ""), "exclude each other"),
        (("--namespace", ""), "the namespace is empty"),
        (("--kind", "aes-256-gcm", "--algorithm", "aes", "-s", "256"), "exclude each other"),
        (("--size", "256"), "need --algorithm"),
        (("--kind", "sm2", "--purpose", "sign"), "need --algorithm"),
        (("--algorithm", "aes"), "aes keys need --size"),
        (("--algorithm", "rot13"), "there is no algorithm 'rot13'"),
        (("--algorithm", "aes", "--size", "256", "--mode", "xts"), "there is no mode 'xts'"),
        (("--algorithm", "aes", "--size", "256", "--purpose", "fly"), "there is no purpose 'fly'"),
    ],
)
def test_what_does_not_go_together(huks: Huks, home: Path, words: tuple[str, ...], message: str) -> None:
    """Wrong words are code 2 with a hint, before a keystore is made."""
    done = huks("keys", "generate", "k", *words)
    assert (done.code, done.out) == (2, b"")
    assert message in done.err.splitlines()[0]
    assert done.err.splitlines()[1].startswith("hint: ")
    assert not home.exists()


def test_a_combination_that_no_key_has(huks: Huks) -> None:
    """What the matrix refuses is the keystore's error, with its code."""
    done = huks("keys", "generate", "k", "-a", "ed25519", "--purpose", "encrypt")
    assert (done.code, done.out) == (1, b"")
    assert "code 12000" in done.err


def test_a_warning_that_is_an_error_is_told_as_one(huks: Huks) -> None:
    """As PYTHONWARNINGS=error makes it: the line of a failure, and no traceback."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = huks("keys", "generate", "weak", "--algorithm", "cmac", "--size", "128")
    assert (done.code, done.out, done.err.startswith("error: ")) == (1, b"", True)
    assert done.err.count("\n") == 1
