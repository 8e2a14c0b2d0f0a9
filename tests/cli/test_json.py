"""`--json`: one document on standard output, in the shapes that docs/command-line.md gives."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from huks_async.cli.shell import console
from huks_async.cli.words.key_use import ALGORITHM_NAMES
from huks_async.crypto.rules.matrix import ALGORITHMS, has_size
from tests.cli.command_line import Huks


def _document(huks: Huks, *words: object, code: int = 0) -> Any:
    done = huks(*words, "--json")
    assert done.code == code, done.err
    assert done.out.isascii()
    return json.loads(done.out)


def test_list(huks: Huks) -> None:
    assert _document(huks, "keys", "list") == {"keys": []}
    for alias in ("b", "a", "line\nbreak"):
        huks("keys", "generate", alias)
    assert _document(huks, "keys", "list") == {"keys": [{"alias": one} for one in ("a", "b", "line\nbreak")]}


def test_a_long_document_is_written_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the same text as in one part; a million keys would take half a gigabyte as one."""
    monkeypatch.setattr(console, "_PIECES", 7)
    document = {"keys": [{"alias": f"é{number}"} for number in range(50)]}
    parts: list[str] = []
    monkeypatch.setattr(console.standard_output(), "write", parts.append)
    console.show_json(document)
    assert "".join(parts) == json.dumps(document, indent=2) + "\n"
    assert max(map(len, parts)) < 200


def test_show(huks: Huks) -> None:
    huks("keys", "generate", "k", "--kind", "rsa-2048-pss")
    told = _document(huks, "keys", "show", "k")
    assert told["alias"] == "k"
    by_tag = {one["tag"]: one for one in told["properties"]}
    assert by_tag["HUKS_TAG_ALGORITHM"] == {
        "tag": "HUKS_TAG_ALGORITHM",
        "number": 0x20000001,
        "value": 1,
        "name": "HUKS_ALG_RSA",
    }
    assert by_tag["HUKS_TAG_PURPOSE"]["purposes"] == ["sign", "verify"]
    assert by_tag["HUKS_TAG_PADDING"]["name"] == "HUKS_PADDING_PSS"
    lines = huks("keys", "show", "k").out.decode().splitlines()
    assert len(lines) == len(told["properties"])


def test_show_of_bytes(huks: Huks) -> None:
    """A value of bytes is in hexadecimal digits under a name of its own."""
    huks("keys", "generate", "k")
    properties = _document(huks, "keys", "show", "k")["properties"]
    for one in properties:
        assert ("hex" in one) != ("value" in one)
        if "hex" in one:
            bytes.fromhex(one["hex"])


def test_describe(huks: Huks, tmp_path: Path) -> None:
    huks("keys", "generate", "k", "--kind", "ecdsa-p256")
    huks("keys", "export", "k", "-o", tmp_path / "k.pem")
    told = _document(huks, "keys", "describe", tmp_path / "k.pem")
    assert set(told) == {
        "form",
        "bytes",
        "algorithm",
        "size",
        "halves",
        "fields",
        "sha256_of_public_half",
        "note",
    }
    assert (told["algorithm"], told["size"], told["halves"], told["note"]) == ("ECC", 256, ["public"], None)
    assert told["bytes"] == (tmp_path / "k.pem").stat().st_size
    (tmp_path / "raw").write_bytes(bytes(33))
    told = _document(huks, "keys", "describe", tmp_path / "raw")
    assert (told["algorithm"], told["size"], told["sha256_of_public_half"]) == (None, None, None)


def test_doctor(huks: Huks, home: Path) -> None:
    told = _document(huks, "doctor")
    assert told["sound"] is True
    assert set(told["versions"]) >= {"huks_async", "python", "cryptography", "openssl", "sqlite", "profile"}
    assert "WAL-reset fault" in told["versions"]["sqlite_reset_fault"]
    assert all(set(one) == {"section", "good", "text"} for one in told["findings"])
    (home / "gone").symlink_to("nowhere")
    told = _document(huks, "doctor", code=1)
    assert [one["text"] for one in told["findings"] if not one["good"]] == [
        f"{home / 'gone'}: No such file or directory; remove it, or restore what it leads to"
    ]
    (home / "gone").unlink()
    (home / "keystore.db").chmod(0o644)
    told = _document(huks, "doctor", code=1)
    assert told["sound"] is False
    assert [one["text"] for one in told["findings"] if not one["good"]]


def test_doctor_tells_the_profile_that_counts(huks: Huks, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the library takes the variable."""
    for value, profile in (("", "server"), ("device", "device")):
        monkeypatch.setenv("HUKS_ASYNC_PROFILE", value)
        assert _document(huks, "doctor")["versions"]["profile"] == profile
    monkeypatch.setenv("HUKS_ASYNC_PROFILE", "Server")
    told = _document(huks, "doctor", code=1)
    assert told["versions"]["profile"].startswith("none; $HUKS_ASYNC_PROFILE: got 'Server'")
    assert any(
        "$HUKS_ASYNC_PROFILE: got 'Server'" in one["text"] for one in told["findings"] if not one["good"]
    )


@pytest.mark.parametrize("device", [(), ("--device",)])
def test_algorithms(huks: Huks, device: tuple[str, ...]) -> None:
    """The document says what the table says, in the words that `keys generate` takes."""
    told = _document(huks, "algorithms", *device)["algorithms"]
    lines = huks("algorithms", *device).out.decode().splitlines()[1:]
    assert sum(len(one["uses"]) for one in told) == len(lines)
    for one in told:
        number = ALGORITHM_NAMES[one["algorithm"]]
        assert one["number"] == number
        for size in one["sizes"]:
            single = size if isinstance(size, int) else size["to"]
            assert has_size(ALGORITHMS[number].sizes, single)
        for use in one["uses"]:
            assert use["combinations"]
            assert use["device"] or not device


def test_verify_attestation(huks: Huks, tmp_path: Path) -> None:
    huks("keys", "generate", "k", "--kind", "ecdsa-p256")
    huks("keys", "attest", "k", "-c", "00ff", "-o", tmp_path / "chain")
    huks("keys", "attestation-root", "-o", tmp_path / "root")
    huks("keys", "export", "k", "--form", "der", "-o", tmp_path / "public")
    words = ("verify-attestation", tmp_path / "chain", "-r", tmp_path / "root")
    told = _document(huks, *words, "-c", "00ff")
    assert told["public_key"] == (tmp_path / "public").read_bytes().hex()
    assert (told["challenge"], told["software"], told["level"], told["origin"]) == ("00ff", True, 0, 2)
    assert told == _document(huks, "keys", *words, "-c", "00ff")
    refused = huks(*words, "-c", "00fe", "--json")
    assert (refused.code, refused.out) == (1, b"")
    assert refused.err.startswith("error: ")


def test_failures_leave_standard_output_empty(huks: Huks) -> None:
    """A document is there as a whole or not at all."""
    for words in (("keys", "show", "none"), ("keys", "describe", "/nonexistent")):
        done = huks(*words, "--json")
        assert (done.code, done.out) == (1, b"")


def test_programs_can_read_it(huks_process: Huks) -> None:
    """Another program's parser takes the document from the pipe."""
    done = huks_process("keys", "list", "--json")
    read = subprocess.run(
        [sys.executable, "-m", "json.tool"], input=done.out, capture_output=True, check=False
    )
    assert read.returncode == 0
