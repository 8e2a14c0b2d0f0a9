"""`huks keys`, `doctor` and `algorithms`, seen from outside."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

import huks_async
from huks_async.cli.machine import doctor
from huks_async.cli.words.parameters import KINDS
from huks_async.crypto.rules import matrix
from huks_async.model.errors import BusinessError
from tests.cli.command_line import Done, Huks, command


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_made(huks: Huks, kind: str) -> None:
    """Each kind that the help names gives a key with its parameters."""
    done = huks("keys", "generate", "k", "--kind", kind)
    if "sm2" in kind and done.code == 1 and "12000001" in done.err:
        pytest.skip("no SM2 implementation on this machine")
    assert done.code == 0, done.err
    shown = huks("keys", "show", "k").out.decode()
    assert f"key_size: {KINDS[kind]['KEY_SIZE']}\n" in shown


def test_list_show_delete(huks: Huks) -> None:
    """Names come sorted, one a line; a deleted key is gone."""
    for alias in ("b", "a", "日本"):
        assert huks("keys", "generate", alias).code == 0
    assert huks("keys", "list").out.decode() == "a\nb\n日本\n"
    shown = huks("keys", "show", "a").out.decode()
    assert "algorithm: HUKS_ALG_AES\n" in shown
    assert "purpose: encrypt and decrypt\n" in shown
    assert huks("keys", "delete", "a", "--yes").code == 0
    assert huks("keys", "list").out.decode() == "b\n日本\n"
    done = huks("keys", "show", "a")
    assert done.code == 1
    assert "12000011" in done.err


def test_an_existing_key_is_not_replaced_unasked(huks: Huks) -> None:
    """A second key of a name needs --replace."""
    assert huks("keys", "generate", "k").code == 0
    done = huks("keys", "generate", "k", "--kind", "ecdsa-p256")
    assert done.code == 1
    assert "--replace" in done.err
    assert "HUKS_ALG_AES" in huks("keys", "show", "k").out.decode()
    assert huks("keys", "generate", "k", "--kind", "ecdsa-p256", "--replace").code == 0
    assert "HUKS_ALG_ECC" in huks("keys", "show", "k").out.decode()


def test_delete_asks_where_nobody_can_answer(huks_process: Huks) -> None:
    """Without a terminal a deletion needs --yes, and the key stays."""
    huks_process("keys", "generate", "k")
    done = huks_process("keys", "delete", "k")
    assert done.code == 2
    assert "--yes" in done.err
    assert huks_process("keys", "list").out == b"k\n"


def test_levels_have_keys_of_their_own(huks: Huks) -> None:
    """A key of one storage level is not seen at another."""
    assert huks("keys", "generate", "k", "--level", "de").code == 0
    assert huks("keys", "list").out == b""
    assert huks("keys", "list", "--level", "de").out == b"k\n"


def test_namespaces_have_keys_of_their_own(huks: Huks) -> None:
    """A key of one namespace is not seen in another."""
    assert huks("keys", "generate", "k", "--namespace", "one").code == 0
    assert huks("keys", "list", "--namespace", "two").out == b""
    assert huks("keys", "list", "--namespace", "one").out == b"k\n"


def test_exported_keys_load_elsewhere(huks: Huks) -> None:
    """PEM and DER are read by another program; the bare form is 32 bytes for Ed25519."""
    types = {
        "ecdsa-p256": ec.EllipticCurvePublicKey,
        "rsa-2048-pss": rsa.RSAPublicKey,
        "ed25519": ed25519.Ed25519PublicKey,
    }
    for kind, type_ in types.items():
        huks("keys", "generate", kind, "--kind", kind)
        pem = load_pem_public_key(huks("keys", "export", kind).out)
        der = load_der_public_key(huks("keys", "export", kind, "--form", "der").out)
        assert isinstance(pem, type_)
        assert pem == der
    assert len(huks("keys", "export", "ed25519", "--form", "huks").out) == 32


def test_a_symmetric_key_has_no_public_half(huks: Huks) -> None:
    """Nothing of an AES key can be exported."""
    huks("keys", "generate", "k")
    done = huks("keys", "export", "k")
    assert (done.code, done.out) == (1, b"")
    assert done.err.startswith("error: ")


def test_doctor_is_content_with_a_new_keystore(huks: Huks) -> None:
    """A keystore that the defaults made has no problem."""
    huks("keys", "generate", "k")
    done = huks("doctor")
    assert done.code == 0, done.out
    assert b"PROBLEM" not in done.out
    assert b"keys at this level: 1" in done.out


def test_doctor_names_open_permissions(huks: Huks, home: Path) -> None:
    """Files that others can read are a problem with code 1."""
    huks("keys", "generate", "k")
    for path in home.iterdir():
        path.chmod(0o644)
    done = huks("doctor")
    assert done.code == 1
    assert b"others have rights to it" in done.out


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", ".root-key"])
def test_doctor_names_open_files_of_a_store_by_address(huks: Huks, tmp_path: Path, suffix: str) -> None:
    """Each file that has keys or their root key, by whatever name the store is called; and no other one."""
    folder, link = tmp_path / "data", tmp_path / "link.db"
    folder.mkdir(mode=0o755)
    link.symlink_to(folder / "keys.db")
    place = ("--store", f"sqlite:///{folder}/keys.db")
    assert huks("keys", "generate", "k", *place).code == 0
    (folder / "other").touch(0o644)
    done = huks("doctor", *place)
    assert (done.code, b"PROBLEM" in done.out) == (0, False), done.out
    path = folder / f"keys.db{suffix}"
    for address in (folder / "keys.db", link):
        path.touch()  # closing takes the log away
        path.chmod(0o644)
        done = huks("doctor", "--store", f"sqlite:///{address}")
        assert done.code == 1
        assert f"PROBLEM: {path} has mode 0644, so others have rights to it".encode() in done.out


def test_doctor_names_open_files_of_a_store_that_the_folder_links_to(
    huks: Huks, home: Path, tmp_path: Path
) -> None:
    """What SQLite keeps beside the database is not in the folder."""
    database = tmp_path / "keys.db"
    assert huks("keys", "generate", "k").code == 0
    (home / "keystore.db").rename(database)
    (home / "keystore.db").symlink_to(database)
    (tmp_path / "keys.db-wal").touch(0o600)
    assert huks("doctor").code == 0
    (tmp_path / "keys.db-wal").touch()
    (tmp_path / "keys.db-wal").chmod(0o644)
    done = huks("doctor")
    assert (done.code, done.out.count(b"PROBLEM")) == (1, 1), done.out
    assert f"PROBLEM: {database}-wal has mode 0644".encode() in done.out


def test_doctor_reports_also_where_it_cannot_look(huks: Huks, tmp_path: Path, document: Path) -> None:
    """What the system does not let it look at is a finding; where there is no folder, none has files to remove."""
    for folder, findings in ((tmp_path / ("x" * 300), 5), (document, 1)):
        done = huks("doctor", "--store", f"sqlite:///{folder}/keys.db")
        assert (done.code, done.err, done.out.count(b"PROBLEM: ")) == (1, "", findings)
        assert (b"memory pressure" in done.out, b"remove it" in done.out) == (True, False)


@pytest.mark.parametrize("kind", ["file", "in a file", "long"])
def test_doctor_reports_also_without_a_usable_home(
    huks: Huks, tmp_path: Path, document: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """That the folder of the default keystore is none is one finding among the others."""
    home = {"file": document, "in a file": document / "x", "long": tmp_path / ("x" * 300)}[kind]
    monkeypatch.setenv("HUKS_ASYNC_HOME", str(home))
    done = huks("doctor")
    assert (done.code, done.err) == (1, "")
    for part in (b"huks-async ", b"memory pressure", f"PROBLEM: {home}: ".encode(), b"set HUKS_ASYNC_HOME"):
        assert part in done.out
    assert json.loads(huks("doctor", "--json").out)["sound"] is False


def test_doctor_tells_of_sm2(huks: Huks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which library has it; that none does is no fault of a keystore."""

    def none() -> None:
        raise BusinessError(12000001, "SM2 needs OpenSSL's libcrypto")

    class Found:
        name = "libcrypto 3.5.9"

    monkeypatch.setattr(doctor, "sm2_backend", Found)
    assert b"  SM2: libcrypto 3.5.9\n" in huks("doctor").out
    monkeypatch.setattr(doctor, "sm2_backend", none)
    done = huks("doctor")
    assert (done.code, b"  SM2: none; SM2 needs OpenSSL's libcrypto\n" in done.out) == (0, True)
    assert json.loads(huks("doctor", "--json").out)["versions"]["sm2"].startswith("none; ")


def test_a_missing_key_gets_advice_for_commands(huks: Huks, home: Path) -> None:
    """Which has no sessions to open, and names the store that was looked in."""
    assert huks("keys", "generate", "k").code == 0
    done = huks("keys", "show", "nobody")
    assert (done.code, "12000011" in done.err) == (1, True)
    hint = done.err.splitlines()[-1]
    assert ("--level" in hint, "--namespace" in hint, "session" in hint) == (True, True, False)
    assert f"the store is sqlite:///{home}/keystore.db; " in hint


LOOKS = [
    ("keys", "show", "a"),
    ("keys", "delete", "--yes", "a"),
    ("keys", "export", "a"),
    ("keys", "attest", "a", "-c", "00"),
    ("keys", "import-wrapped", "b", "FILE", "--with", "a", "--algorithm", "aes", "--size", "256"),
    ("encrypt", "a", "FILE", "-o", "OUTPUT"),
    ("sign", "a", "FILE", "-o", "OUTPUT"),
    ("verify", "a", "FILE", "--signature", "FILE"),
    ("mac", "a", "FILE"),
    ("derive", "a", "--bytes", "32", "-o", "OUTPUT"),
    ("agree", "a", "FILE", "-o", "OUTPUT"),
]


@pytest.mark.parametrize("words", LOOKS, ids=lambda words: " ".join(words[:2]))
@pytest.mark.parametrize("place", ["default", "address"])
def test_a_look_makes_no_store(
    huks: Huks, home: Path, tmp_path: Path, words: tuple[str, ...], place: str
) -> None:
    """A mistyped folder or address is told, and stays as it was."""
    (tmp_path / "FILE").write_bytes(b"x" * 100)
    named = [str(tmp_path / word) if word in {"FILE", "OUTPUT"} else word for word in words]
    store = home / "keystore.db" if place == "default" else tmp_path / "none" / "keys.db"
    if place == "address":
        named += ["--store", f"sqlite:///{store}"]
    done = huks(*named)
    assert (done.code, "(code 12000011)" in done.err) == (1, True), done.err
    assert done.err.splitlines()[-1].startswith(f"hint: there is no store sqlite:///{store}; check --store")
    assert os.listdir(tmp_path) == ["FILE"]


def test_of_no_store_the_list_is_empty(huks: Huks, home: Path, tmp_path: Path) -> None:
    """Nor is there a PIN; and nothing is made."""
    assert huks("keys", "list") == Done(0, b"", "")
    assert huks("keys", "list", "--json").out == b'{\n  "keys": []\n}\n'
    assert huks("access", "status").out == b"user 100: no PIN\n"
    assert "12000013" in huks("access", "clear", "--yes").err
    assert os.listdir(tmp_path) == []


def test_a_look_finds_the_store_that_a_new_key_goes_to(huks: Huks, tmp_path: Path) -> None:
    """Also by an address that leads up from a folder which is missing."""
    there = f"sqlite:///{tmp_path}/keys.db"
    up = f"sqlite:///{tmp_path}/none/../keys.db"
    assert huks("keys", "generate", "a", "--store", there).code == 0
    assert huks("keys", "generate", "b", "--store", up).code == 0
    assert huks("keys", "list", "--store", up).out == huks("keys", "list", "--store", there).out == b"a\nb\n"
    assert huks("store", "backup", tmp_path / "copy.db", "--store", up).code == 0


def test_what_cannot_be_looked_at_is_not_taken_for_an_empty_store(
    huks: Huks, home: Path, tmp_path: Path
) -> None:
    """A log without its database, a file in place of a folder."""
    home.mkdir(mode=0o700)
    (home / "keystore.db-wal").write_bytes(b"x")
    for words in (("keys", "list"), ("store", "backup", tmp_path / "copy.db")):
        done = huks(*words)
        assert (done.code, done.out, "its log is there" in done.err) == (1, b"", True)
    done = huks("keys", "list", "--store", f"sqlite:///{home}/keystore.db-wal/keys.db")
    assert (done.code, "12000004" in done.err) == (1, True)
    assert not (home / "keystore.db").exists()


def test_doctor_passes_over_files_that_have_gone_meanwhile(
    huks: Huks, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program may close the store between the listing and the look, and its log goes with that."""
    huks("keys", "generate", "k")
    listed = [*home.iterdir(), home / "keystore.db-wal"]
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(listed))
    done = huks("doctor")
    assert (done.code, done.err) == (0, "")
    assert b"keystore.db-wal" not in done.out


def test_algorithms_prints_the_whole_matrix(huks: Huks) -> None:
    """Every algorithm and usage has its line."""
    lines = huks("algorithms").out.decode().splitlines()
    assert len(lines) == 1 + sum(len(algorithm.usages) for algorithm in matrix.ALGORITHMS.values())
    assert any(line.startswith("AES  128, 192, 256  ENCRYPT DECRYPT  AES  ECB, NONE; ") for line in lines)
    assert len(huks("algorithms", "--device").out.decode().splitlines()) < len(lines)


def test_the_module_is_the_command(home: Path) -> None:
    """`python -m huks_async.cli` and the command `huks` have one version, that of the library."""
    for words in (command("--version"), [Path(sys.executable).with_name("huks"), "--version"]):
        done = subprocess.run(words, capture_output=True, timeout=120, check=True, env=dict(os.environ))
        assert done.stdout.decode().strip() == huks_async.__version__
