"""What `import huks_async` loads, and that what it leaves out comes when it is asked for."""

import ast
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import huks_async
import huks_async.rootkeys
import huks_async.stores

# what a service that encrypts with a key of its own has no use for
UNUSED = {
    "cryptography.x509",
    "cryptography.hazmat.primitives.serialization",
    "sqlite3",
    "ssl",
    "email",
    "json",
    "multiprocessing",
    "subprocess",
    "tempfile",
    "asyncio",
    "trio",
    "huks_async.access.attempts",
    "huks_async.access.authenticator",
    "huks_async.access.gate",
    "huks_async.cli",
    "huks_async.files",
    "huks_async.legacy",
    "huks_async.provisioning",
    "huks_async.providers",
    "huks_async.keys.attestation",
    "huks_async.keys.forms.importing",
    "huks_async.keys.forms.jwk",
    "huks_async.keys.wrapping.encapsulation",
    "huks_async.keys.wrapping.operator_wrap",
    "huks_async.keys.wrapping.wrapped",
    "huks_async.keystore.guarded_sessions",
    "huks_async.keystore.provider_calls",
    "huks_async.keystore.provider_keys",
    "huks_async.keystore.sealed_streams",
    "huks_async.keystore.statistics",
    "huks_async.rootkeys.ephemeral",
    "huks_async.rootkeys.file",
    "huks_async.rootkeys.passphrase",
    "huks_async.rootkeys.pkcs11",
    "huks_async.rootkeys.systemd",
    "huks_async.runtime.processes",
    "huks_async.sessions.monitor",
    "huks_async.sessions.pressure",
    "huks_async.stores.memory",
    "huks_async.stores.sqlite",
}
# these come with the event loop, or with a keystore in memory and its monitor
OF_AN_OPEN_KEYSTORE = {
    "asyncio",
    "ssl",
    "subprocess",
    "huks_async.rootkeys.ephemeral",
    "huks_async.sessions.monitor",
    "huks_async.sessions.pressure",
    "huks_async.stores.memory",
}
OWN_KEY = """
import asyncio, json, os, sys, huks_async
from huks_async import HuksTag as T
def options(purpose, **more):
    tags = {T.HUKS_TAG_ALGORITHM: 20, T.HUKS_TAG_KEY_SIZE: 256, T.HUKS_TAG_PURPOSE: purpose,
            T.HUKS_TAG_BLOCK_MODE: 32, T.HUKS_TAG_PADDING: 0, T.HUKS_TAG_NONCE: bytes(12)}
    return {"properties": [{"tag": tag, "value": value} for tag, value in tags.items()], **more}
"""


def _run(code: str, folder: Path) -> Any:
    """Run code in a new interpreter, and give what it prints as JSON."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def test_import_loads_nothing_that_few_services_use(tmp_path: Path) -> None:
    """Attestation, SQLite, imports of keys, other processes, a second OpenSSL and the event loop are left out."""
    loaded = _run(
        "import sys, huks_async; names = [*sys.modules]; import json; print(json.dumps(names))", tmp_path
    )
    assert "huks_async.keystore.keystore" in loaded
    assert (UNUSED | {"hashlib"}) & set(loaded) == set()


def test_a_service_with_a_key_of_its_own_loads_no_more(tmp_path: Path) -> None:
    """Generating an AES key and encrypting with it brings in neither X.509 nor a database."""
    loaded = _run(
        OWN_KEY.replace("json, ", "")
        + """
async def main():
    async with huks_async.Keystore.open("memory:", load_all=False) as keystore:
        await keystore.generateKeyItem("key", options(3))
        session = await keystore.initSession("key", options(1))
        result = await keystore.finishSession(session.handle, options(1, inData=b"text"))
        assert len(result.outData) == 20
asyncio.run(main())
names = [*sys.modules]
import json
print(json.dumps(names))
""",
        tmp_path,
    )
    assert "huks_async.crypto.symmetric.gcm" in loaded
    assert (UNUSED - OF_AN_OPEN_KEYSTORE) & set(loaded) == set()


def test_a_refused_call_on_a_session_that_is_gone_loads_no_providers(tmp_path: Path) -> None:
    """Where nobody has asked for providers, none of them has the session."""
    loaded = _run(
        """
import asyncio, sys, huks_async
twice = [{"tag": huks_async.HuksTag.HUKS_TAG_PURPOSE, "value": 1}] * 2
async def main():
    async with huks_async.Keystore.open("memory:", monitor=False, load_all=False) as keystore:
        for call in (keystore.updateSession, keystore.finishSession):
            try:
                await call(5, {"properties": twice, "inData": b"x"})
            except huks_async.BusinessError as error:
                assert error.code == 12000011, error
        await keystore.abortSession(5, {"properties": twice})
asyncio.run(main())
names = [*sys.modules]
import json
print(json.dumps(names))
""",
        tmp_path,
    )
    assert [name for name in loaded if name.startswith("huks_async.providers")] == []


def test_a_key_of_an_elliptic_curve_loads_no_second_openssl(tmp_path: Path) -> None:
    """Generating a pair of keys brings in neither `hashlib` nor `hmac`, which load the system's OpenSSL."""
    loaded = _run(
        """
import huks_async
from huks_async.crypto.asymmetric import elliptic
elliptic.generate(2, 256)
import sys
names = [*sys.modules]
import json
print(json.dumps(names))
""",
        tmp_path,
    )
    assert {"hashlib", "hmac", "_hashlib"} & set(loaded) == set()


def test_ending_sessions_and_keystores_loads_nothing(tmp_path: Path) -> None:
    """Abort and close find all their modules loaded: they may run while the interpreter shuts down."""
    came = _run(
        OWN_KEY
        + """
async def main():
    keystore = huks_async.Keystore.open("sqlite:///keys.db", debug=True, load_all=False, limits=huks_async.Limits(max_idle=60))
    await keystore.aopen()
    await keystore.generateKeyItem("key", options(3))
    one, two = [await keystore.initSession("key", options(1)) for _ in range(2)]
    await keystore.finishSession(two.handle, options(1))
    three = await keystore.initSession("key", options(1))
    for _ in range(1200):  # the monitor chooses its sensor in a thread
        if keystore.statistics().memory.sensor != "none":
            break
        await asyncio.sleep(0.05)
    before = {*sys.modules}
    await keystore.abortSession(one.handle, {})
    import warnings
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        await keystore.aclose()
    print(json.dumps(sorted({*sys.modules} - before)))
asyncio.run(main())
""",
        tmp_path,
    )
    assert came == []


def test_every_public_name_is_there_and_comes_from_its_home(tmp_path: Path) -> None:
    """`dir` shows all names before they are loaded, and each is the object that its own module defines."""
    facts = _run(
        """
import huks_async as huks, sys
shown, homes = dir(huks), {}
late = [name for name in huks.__all__ if name not in vars(huks)]
for name in huks.__all__:
    value = getattr(huks, name)
    assert vars(huks)[name] is value
    home = getattr(value, "__module__", None)
    if home and home.startswith("huks_async"):
        homes[name] = getattr(sys.modules[home], value.__name__) is value
everything = {}
exec("from huks_async import *", everything)
import json
print(json.dumps([shown, late, homes, [name for name in huks.__all__ if name not in everything]]))
""",
        tmp_path,
    )
    shown, late, homes, missing = facts
    assert set(huks_async.__all__) <= set(shown)
    assert {"AttestationCa", "SqliteStore", "generateKey", "pack_wrapped_key"} <= set(late)
    assert len(homes) > 100
    assert all(homes.values()), homes
    assert missing == []


@pytest.mark.parametrize(
    "package", [huks_async, huks_async.stores, huks_async.rootkeys], ids=lambda p: p.__name__
)
def test_type_checkers_see_the_objects_that_programs_get(package: Any) -> None:
    """The imports that only type checkers read name the objects that the package gives late."""
    tree = ast.parse(Path(package.__file__).read_text())
    (block,) = (
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    pairs = [
        (one.module, alias.name)
        for one in block.body
        if isinstance(one, ast.ImportFrom)
        for alias in one.names
    ]
    assert pairs
    for module, name in pairs:
        assert getattr(package, name) is getattr(importlib.import_module(module or ""), name), name


@pytest.mark.parametrize(
    "package", [huks_async, huks_async.stores, huks_async.rootkeys], ids=lambda p: p.__name__
)
def test_an_unknown_name_is_an_attribute_error(package: Any) -> None:
    """A misspelt name is refused as by any module, with both names."""
    with pytest.raises(AttributeError, match=rf"module '{package.__name__}' has no attribute 'SqlStore'"):
        _ = package.SqlStore
    assert not hasattr(package, "__wrapped__")


def test_late_names_come_after_the_working_directory_went_away(tmp_path: Path) -> None:
    """A daemon in a removed directory still gets what it uses for the first time."""
    gone = tmp_path / "gone"
    gone.mkdir()
    count = _run(
        OWN_KEY
        + """
async def main():
    async with huks_async.Keystore.open("memory:") as keystore:
        os.rmdir(os.getcwd())
        tags = {T.HUKS_TAG_ALGORITHM: 2, T.HUKS_TAG_KEY_SIZE: 256, T.HUKS_TAG_PURPOSE: 4}
        await keystore.generateKeyItem("ec", {"properties": [{"tag": t, "value": v} for t, v in tags.items()]})
        challenge = {"properties": [{"tag": T.HUKS_TAG_ATTESTATION_CHALLENGE, "value": b"challenge"}]}
        chain = (await keystore.attestKeyItem("ec", challenge)).certChains
        report = huks_async.verify_attestation(chain, b"challenge", roots=chain[-1:])
        assert type(report) is huks_async.AttestationReport
        print(json.dumps(len(chain)))
asyncio.run(main())
""",
        gone,
    )
    assert count == 4


def test_threads_that_ask_at_once_get_one_object(tmp_path: Path) -> None:
    """The first use of a late name by many threads loads its module once."""
    assert _run(
        """
import huks_async, json, threading
start, seen = threading.Barrier(8), []
def ask():
    start.wait()
    seen.append((huks_async.AttestationCa, huks_async.SqliteStore, huks_async.init))
threads = [threading.Thread(target=ask) for _ in range(8)]
[one.start() for one in threads]
[one.join() for one in threads]
print(json.dumps([len(seen), len(set(seen))]))
""",
        tmp_path,
    ) == [8, 1]


@pytest.mark.parametrize("files", ["files", "no files"])
@pytest.mark.parametrize("store", ["memory:", "sqlite:///keys.db"])
def test_an_open_keystore_imports_nothing(tmp_path: Path, store: str, files: str) -> None:
    """With the package's files gone, and no descriptor left, each function works or is refused in its own words."""
    service = Path(__file__).with_name("isolated_service.py")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.run(
        [sys.executable, service, store, *(["--no-files"] if files == "no files" else [])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert process.returncode == 0, process.stderr
    late, outcomes = json.loads(process.stdout)
    assert late == []
    wrong = {
        name: how for name, how in outcomes.items() if how != "ok" and not how.startswith("BusinessError")
    }
    assert wrong == {}
    assert {"generate aes", "finish ecc", "attest rsa", "statistics", "encapsulate", "aclose"} <= {
        name for name, how in outcomes.items() if how == "ok"
    }


def test_all_modules_are_loaded_by_opening(tmp_path: Path) -> None:
    """An open keystore has loaded every module of the library but those of the command."""
    root = Path(huks_async.__file__).parent
    modules = {
        ".".join(("huks_async", *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
        for path in root.rglob("*.py")
    }
    loaded = _run(
        """
import asyncio, huks_async, json, sys
async def main():
    async with huks_async.Keystore.open("memory:", monitor=False): pass
asyncio.run(main())
print(json.dumps([*sys.modules]))
""",
        tmp_path,
    )
    assert {
        name
        for name in modules - set(loaded)
        if not name.startswith(("huks_async.cli", "huks_async.testing"))
    } == set()


def test_a_module_that_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    """Out of descriptors, opening is refused with 12000012 and the cause, and works when there are some again."""
    told, worked = _run(
        """
import asyncio, json, os, resource
import huks_async
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
async def main():
    held = []
    try:
        while True: held.append(os.dup(2))
    except OSError: pass
    told = []
    for _ in range(2):
        try:
            async with huks_async.Keystore.open("memory:"): pass
        except huks_async.BusinessError as error: told.append(str(error))
    for fd in held: os.close(fd)
    async with huks_async.Keystore.open("memory:") as keystore:
        return told, keystore.is_open
loop = asyncio.new_event_loop()
print(json.dumps(loop.run_until_complete(main())))
""",
        tmp_path,
    )
    assert len(told) == 2
    assert all(one.startswith("12000012") and "limit of open files" in one for one in told), told
    assert worked


def test_the_working_directory_is_gone_before_a_keystore_opens(tmp_path: Path) -> None:
    """A service that was started in a folder which somebody removed opens its keystore all the same."""
    program = tmp_path / "service.py"
    program.write_text(
        """
import asyncio, json, os
gone = os.path.join(os.path.dirname(__file__), "gone"); os.mkdir(gone); os.chdir(gone); os.rmdir(gone)
import huks_async
async def main():
    async with huks_async.Keystore.open("memory:") as keystore:
        return keystore.is_open
print(json.dumps(asyncio.run(main())))
"""
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.run([sys.executable, program], capture_output=True, text=True, env=environment)
    assert process.stdout == "true\n", process.stderr
