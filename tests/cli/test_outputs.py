"""Where results go: files that are in the way, links, devices and pipes, and what a result looks like there."""

import contextlib
import os
import shlex
import stat
import struct
import subprocess
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from huks_async.cli.shell import files
from huks_async.cli.shell.console import CommandError
from huks_async.cli.shell.files import open_output
from tests.cli.command_line import Huks, command


@pytest.fixture
def prepared(huks: Huks, document: Path, tmp_path: Path) -> Path:
    """A folder with every file that a command below reads."""
    for name, kind in (("files", "aes-256-gcm"), ("signer", "ecdsa-p256"), ("mac", None), ("pair", None)):
        words = {"mac": ("-a", "hmac", "-s", "256"), "pair": ("-a", "x25519")}.get(name, ("--kind", kind))
        assert huks("keys", "generate", name, *words).code == 0
    assert huks("encrypt", "files", document, "-o", tmp_path / "sealed").code == 0
    key = x25519.X25519PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(public)
    return tmp_path


WRITERS = (
    ("encrypt", "files", "document"),
    ("decrypt", "files", "sealed"),
    ("sign", "signer", "document"),
    ("keys", "export", "signer"),
    ("keys", "attest", "signer", "-c", "00ff"),
    ("keys", "attestation-root"),
    ("keys", "convert", "key.pem", "--to", "pkcs8"),
    ("keys", "wrap", "key.pem", "--for", "public.pem"),
)


@pytest.mark.parametrize("words", WRITERS, ids=" ".join)
def test_a_file_in_the_way_stays(
    huks: Huks, prepared: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Every command that writes leaves what is there, says the way out, and takes it."""
    monkeypatch.chdir(prepared)
    target = prepared / "precious"
    target.write_bytes(b"precious")
    done = huks(*words, "-o", target)
    assert (done.code, done.out) == (1, b"")
    assert done.err == f"error: {target} exists already\nhint: --force overwrites it\n"
    assert target.read_bytes() == b"precious"
    assert huks(*words, "-o", target, "--force").code == 0
    assert target.read_bytes() != b"precious"
    assert huks(*words, "-o", prepared / "new").code == 0
    assert not [path for path in prepared.iterdir() if path.name.startswith(".")]


def test_a_file_that_came_meanwhile_stays(tmp_path: Path) -> None:
    """What appears under the name between the look and the commit is not replaced."""
    target = tmp_path / "target"
    with pytest.raises(CommandError, match="exists already"), open_output(str(target)) as output:
        output.write(b"ours")
        target.write_bytes(b"theirs")
        output.commit()
    assert target.read_bytes() == b"theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_file_systems_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file cannot have two names the draft is renamed, and still over nothing."""

    def refuse(*_: object) -> None:
        raise OSError(files.errno.EPERM, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    target = tmp_path / "target"
    with open_output(str(target)) as output:
        output.write(b"ours")
        output.commit()
    assert target.read_bytes() == b"ours"
    late = tmp_path / "late"
    with pytest.raises(CommandError, match="exists already"), open_output(str(late)) as output:
        late.write_bytes(b"theirs")
        output.commit()
    assert late.read_bytes() == b"theirs"


def test_links_are_followed(huks: Huks, document: Path, tmp_path: Path) -> None:
    """Through one link or several, relative and dangling, the file at their end is written, with its mode."""
    huks("keys", "generate", "k")
    room = tmp_path / "room"
    room.mkdir()
    (tmp_path / "first").symlink_to("room/second")
    (room / "second").symlink_to("end")
    assert huks("encrypt", "k", document, "-o", tmp_path / "first").code == 0
    assert sorted(path.name for path in room.iterdir()) == ["end", "second"]
    assert (tmp_path / "first").is_symlink()
    assert (room / "second").is_symlink()
    (room / "end").chmod(0o640)
    before = (room / "end").read_bytes()
    assert "exists already" in huks("encrypt", "k", document, "-o", tmp_path / "first").err
    assert huks("encrypt", "k", document, "-o", tmp_path / "first", "--force").code == 0
    assert (room / "end").read_bytes() != before
    assert stat.S_IMODE((room / "end").stat().st_mode) == 0o640


def test_the_file_that_is_read_may_be_replaced(huks: Huks, document: Path, tmp_path: Path) -> None:
    """Encryption in place needs no word, by the file's name, a link to it, or from standard input."""
    huks("keys", "generate", "k")
    link = tmp_path / "link"
    link.symlink_to(document)
    content = document.read_bytes()
    assert huks("encrypt", "k", link, "-o", document).code == 0
    assert huks("decrypt", "k", document, "-o", link).code == 0
    assert document.read_bytes() == content
    done = huks("sign", "k", document, "-o", document)
    assert done.code == 1, "a signature in place of what it signs is nothing that anybody wants"


_OVER_ITSELF = (
    ("encrypt k plain", "1<>plain"),
    ("encrypt k plain", ">> plain"),
    ("encrypt k --format 1 plain", ">> plain"),
    ("encrypt k", "< plain 1<> plain"),
    ("encrypt k link", "1<>plain"),
    ("encrypt k plain -o /dev/stdout", "1<>plain"),
    ("encrypt k plain -o /dev/fd/3", "3<>plain"),
    ("encrypt pair plain", "1<>plain"),
    ("decrypt k sealed", "1<>sealed"),
    ("decrypt k old", "1<>old"),
    ("decrypt pair bare", "1<>bare"),
)


@pytest.mark.parametrize(("words", "streams"), _OVER_ITSELF, ids=map(" ".join, _OVER_ITSELF))
def test_the_file_that_is_read_is_not_written_through_a_descriptor(
    huks_process: Huks, document: Path, tmp_path: Path, words: str, streams: str
) -> None:
    """Results would be written over what is still to be read; the file stays, and the way out is told."""
    huks_process("keys", "generate", "k")
    huks_process("keys", "generate", "pair", "-a", "sm2", "-s", "256", "-p", "encrypt", "-p", "decrypt")
    (tmp_path / "plain").write_bytes(document.read_bytes())
    (tmp_path / "link").hardlink_to(tmp_path / "plain")
    for name, made in (("sealed", ("k",)), ("old", ("k", "--format", "1")), ("bare", ("pair",))):
        assert huks_process("encrypt", *made, document, "-o", tmp_path / name).code == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec {shlex.join(command(*words.split()))} {streams}"],
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"the output is the file that is read" in done.stderr
    assert b"--output FILE" in done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_file_is_signed_before_its_signature_is_written(
    huks_process: Huks, document: Path, tmp_path: Path
) -> None:
    """Also through a descriptor of the file itself, behind its end."""
    huks_process("keys", "generate", "letters", "--kind", "ecdsa-p256")
    content, signature = document.read_bytes(), tmp_path / "signature"
    with document.open("ab") as file:
        words = command("sign", "letters", document, "-o", f"/dev/fd/{file.fileno()}")
        subprocess.run(words, pass_fds=[file.fileno()], timeout=120, check=True)
    assert document.read_bytes().startswith(content)
    signature.write_bytes(document.read_bytes().removeprefix(content))
    document.write_bytes(content)
    assert huks_process("verify", "letters", document, "-s", signature).code == 0


@pytest.mark.parametrize("name", ["room/", "room/.", "room/..", "./nowhere/"])
def test_the_name_of_a_folder_that_is_not_there(
    huks: Huks, document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It makes no file, neither of this name nor of that of the folder around it."""
    huks("keys", "generate", "k")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    for words in ((), ("--force",)):
        done = huks("encrypt", "k", document, "-o", name, *words)
        assert (done.code, done.err.splitlines()[0]) == (2, f"error: {name} is a folder")
    assert sorted(tmp_path.iterdir()) == before


def test_a_working_folder_that_was_removed(
    huks: Huks, document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the file that was to be written."""
    huks("keys", "generate", "k")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    done = huks("encrypt", "k", document, "-o", "sealed")
    assert (done.code, done.err) == (1, "error: sealed: No such file or directory\n")


@pytest.mark.parametrize("character", ["a", "\xe4", "密", "\U0001f511"])
def test_a_name_as_long_as_names_may_be(tmp_path: Path, character: str) -> None:
    """File systems count bytes, and the draft's name needs some of its own."""
    target = tmp_path / (character * (255 // len(character.encode())))
    for overwrite in (False, True):
        with open_output(str(target), overwrite=overwrite) as output:
            output.write(b"ours")
            output.commit()
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize(
    ("refused", "mode", "expected"),
    [
        ((), 0o640, 0o640),
        ((0,), 0o640, 0o640),
        ((0, -1), 0o640, 0o600),
        ((0, -1), 0o660, 0o600),
        ((0, -1), 0o664, 0o644),
        ((0, -1), 0o755, 0o755),
        ((0, -1), 0o604, 0o604),
    ],
)
@pytest.mark.parametrize("number", [files.errno.EPERM, files.errno.EINVAL], ids=["not yours", "no mapping"])
def test_a_group_gets_no_more_than_it_had(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refused: tuple[int, ...],
    mode: int,
    expected: int,
    number: int,
) -> None:
    """Who may give a file to its group does so; who may not gives their own group what everybody gets.

    Nobody may where a user namespace has no number for the owner or the group.
    """
    target, given = tmp_path / "target", list[tuple[int, int]]()
    target.write_bytes(b"before")
    target.chmod(mode)
    owner = target.stat()

    def give(descriptor: int, user: int, group: int) -> None:
        if (-1 if user == -1 else 0) in refused:
            raise OSError(number, "not yours to give")
        given.append((user, group))

    monkeypatch.setattr(files.os, "fchown", give)
    with open_output(str(target), overwrite=True) as output:
        output.write(b"ours")
        output.commit()
    assert stat.S_IMODE(target.stat().st_mode) == expected
    if not refused:
        assert given == [(owner.st_uid, owner.st_gid)]
    elif -1 not in refused:
        assert given == [(-1, owner.st_gid)]


def test_an_access_list_is_not_taken_for_the_bits_of_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mode shows what a list grants to anybody, which the group itself need not have."""
    target = tmp_path / "target"
    target.write_bytes(b"before")
    # version 2, then tag, permissions and user of each entry: one other user may read and write, the group nothing
    entries = ((0x01, 6, -1), (0x02, 6, 65534), (0x04, 0, -1), (0x10, 6, -1), (0x20, 0, -1))
    listed = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(target, "system.posix_acl_access", listed)
    except OSError:
        pytest.skip("this file system has no access lists")
    assert stat.S_IMODE(target.stat().st_mode) == 0o660
    with open_output(str(target), overwrite=True) as output:
        output.write(b"ours")
        output.commit()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_the_access_list_of_a_folder_opens_no_file_that_is_replaced(tmp_path: Path) -> None:
    """Files that are new in such a folder get its list, and one that had none keeps none."""
    target = tmp_path / "target"
    target.write_bytes(b"before")
    target.chmod(0o640)
    entries = ((0x01, 7, -1), (0x02, 7, 65534), (0x04, 5, -1), (0x10, 7, -1), (0x20, 5, -1))
    listed = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(tmp_path, "system.posix_acl_default", listed)
    except OSError:
        pytest.skip("this file system has no access lists")
    with open_output(str(target), overwrite=True) as output:
        output.write(b"ours")
        output.commit()
    assert "system.posix_acl_access" not in os.listxattr(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    with open_output(str(tmp_path / "new")) as output:
        output.commit()
    assert "system.posix_acl_access" in os.listxattr(tmp_path / "new")


def test_a_folder_that_may_be_written_and_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is complete there is not told as a failure; all that waits is written in place of the folder."""
    opened, synced = files.os.open, list[bool]()

    def refuse(path: object, flags: int, *rest: object, **more: object) -> int:
        if flags & os.O_DIRECTORY:
            raise PermissionError(files.errno.EACCES, "not to be read", path)
        return opened(path, flags, *rest, **more)

    monkeypatch.setattr(files.os, "open", refuse)
    monkeypatch.setattr(files.os, "sync", lambda: synced.append(True))
    with open_output(str(tmp_path / "target")) as output:
        output.write(b"ours")
        output.commit()
    assert (tmp_path / "target").read_bytes() == b"ours"
    assert synced == [True]


def test_an_empty_name_is_refused(huks: Huks, document: Path, tmp_path: Path) -> None:
    """It is what a shell gives for a variable that is not set."""
    assert huks("keys", "generate", "files").code == 0
    for words in ((), ("--force",)):
        done = huks("encrypt", "files", document, "-o", "", *words)
        assert done.code == 2
        assert "the name of the output is empty" in done.err


def test_a_folder_that_is_not_there_is_named(huks: Huks, document: Path, tmp_path: Path) -> None:
    """The message speaks of the name that was given, not of the draft's."""
    huks("keys", "generate", "k")
    target = tmp_path / "nowhere" / "target"
    done = huks("encrypt", "k", document, "-o", target)
    assert (done.code, done.err) == (1, f"error: {target}: No such file or directory\n")


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("into", ["pipe", "file", "appended"])
def test_standard_output_by_its_name(
    huks_process: Huks, document: Path, tmp_path: Path, name: str, into: str
) -> None:
    """`/dev/stdout` is what the shell has led there: nothing is replaced and nothing before it lost."""
    huks_process("keys", "generate", "k")
    words = command("encrypt", "k", document, "-o", name)
    if into == "pipe":
        sealed = subprocess.run(words, capture_output=True, timeout=120, check=True).stdout
    else:
        target = tmp_path / "target"
        target.write_bytes(b"before")
        inode = target.stat().st_ino
        with target.open("ab" if into == "appended" else "wb") as file:
            subprocess.run(words, stdout=file, timeout=120, check=True)
        assert target.stat().st_ino == inode
        sealed = target.read_bytes().removeprefix(b"before" if into == "appended" else b"")
    assert huks_process("decrypt", "k", "-", stdin=sealed).out == document.read_bytes()


def test_pipes_and_descriptors(huks_process: Huks, document: Path, tmp_path: Path) -> None:
    """A named pipe and a descriptor of the shell's take the result as it comes."""
    huks_process("keys", "generate", "k")
    pipe, received = tmp_path / "pipe", bytearray()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: received.extend(pipe.read_bytes()), daemon=True)
    reader.start()
    assert huks_process("encrypt", "k", document, "-o", pipe).code == 0
    reader.join()
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert huks_process("decrypt", "k", "-", stdin=bytes(received)).out == document.read_bytes()
    target = tmp_path / "target"
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT, 0o600)
    with contextlib.closing(os.fdopen(descriptor, "wb")):
        words = command("encrypt", "k", document, "-o", f"/dev/fd/{descriptor}")
        subprocess.run(words, pass_fds=[descriptor], timeout=120, check=True)
    assert huks_process("decrypt", "k", target).out == document.read_bytes()
