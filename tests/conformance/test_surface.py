"""The declared surface, in both directions: nothing is missing, and nothing is there that is not named."""

import dataclasses
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

import huks_async as huks
from tests.conformance import support
from tests.conformance.support import NOTHING, refused

FACTS: dict[str, Any] = json.loads((Path(__file__).parent / "facts" / "surface.json").read_text())
SPEC = Path(__file__).parents[3] / "shared" / "spec"

FUNCTIONS: dict[str, dict[str, Any]] = FACTS["functions"]
PROMISES = [name for name, fact in FUNCTIONS.items() if fact["kind"] == "promise"]
OTHER_USER = [name for name in FUNCTIONS if name.endswith("AsUser")]

UNBUILT: set[str] = set()  # documented functions that answer 801 whatever is configured

KEYSTORE_EXTENSIONS = {
    "open": "describes a keystore",
    "aopen": "opens it outside of an `async with` block",
    "aclose": "closes it",
    "is_open": "whether it can be used",
    "for_caller": "the same functions as another caller",
    "session": "a session as an `async with` block",
    "monitor_low_memory": "purges stale sessions from a task group of the caller's own",
    "purge_stale_sessions": "purges on a signal of the service's own",
    "statistics": "counters",
    "export_certificates": "the certificates of one key of an external provider",
    "list_certificates": "all certificates of an external provider",
    "authenticate": "has a user authenticated, and gives the token",
    "auth_host": "what it lends to its authenticator",
    "backup": "copies the store while it is in use",
    "encrypt_stream": "seals a stream of any length",
    "decrypt_stream": "opens one, each piece verified",
    "open_sealed": "reads a sealed file at any place",
    "attestation_root": "the certificate that verifiers of its attestations are to trust",
    "was_forked": "whether this process is a child of the one that opened it",
    "close_with_loop": "closes it when its event loop ends, for those that nobody closes",
    "seal": "encrypts a message in one call",
    "unseal": "opens what seal, data_key, seal_deterministic and seal_to made",
    "data_key": "a fresh key for data elsewhere, in the clear and wrapped",
    "seal_deterministic": "the same bytes for the same message, for look-ups",
    "seal_to": "encrypts a message to a public key",
    "sign": "signs a message in one call",
    "verify": "checks a signature in one call",
    "mac": "an authentication code in one call",
    "check_mac": "checks such a code in constant time",
    "derive": "a pseudo-random function of a key",
    "after_fork": "forgets, in a child process, what belongs to the parent",
}
# the functions of the namespace huksExternalCrypto; their arguments: tests/keystore/test_provider_functions.py
EXTERNAL_CRYPTO = [
    name
    for name, value in vars(huks.huksExternalCrypto).items()
    if inspect.isfunction(value) and value.__module__ == huks.huksExternalCrypto.__name__
]
MODULE_EXTENSIONS = {
    "__version__",
    # the objects a service works with
    *(
        "Keystore",
        "KeySession",
        "KeystoreStatistics",
        "StoreBackup",
        "SealedReader",
        "KeyCache",
        "Limits",
        "current_keystore",
    ),
    *("Store", "MemoryStore", "SqliteStore"),
    *("RootKey", "EphemeralRootKey", "FileRootKey", "PassphraseRootKey", "SystemdRootKey"),
    # the documented namespace of external providers
    "huksExternalCrypto",
    # who calls, and who may do what
    *("Caller", "CallerKeystore", "as_caller", "AccessRequest", "KeyPolicy", "Policy", "TablePolicy"),
    # the sending half of a wrapped import
    *("WrappedKey", "pack_wrapped_key"),
    # the receiving half of an attestation, and an operator's own authority
    *("verify_attestation", "AttestationReport", "AttestationError", "AttestationRefusal", "AttestationCa"),
    # forms of other systems
    *("sm2_ciphertext_from_raw", "sm2_ciphertext_to_raw", "signature_from_raw", "signature_to_raw"),
    # tags that the declaration leaves out
    "InnerTag",
    # errors by branch, and warnings
    *("BusinessError", "AlgorithmParameterError", "CommunicationError", "CryptoError", "ExternalError"),
    *("IllegalArgumentError", "ItemExistsError", "ItemNotFoundError", "KeyAuthError", "MemoryLimitError"),
    *("NotSupportedError", "PermissionDeniedError", "ProviderError", "SessionLimitError", "StorageError"),
    *("HuksWarning", "HuksCompatibilityWarning", "HuksLegacyWarning"),
}
# members that the declaration does not have, and their values, by enumeration; docs/disagreements.md says why
OWN_MEMBERS: dict[str, dict[str, int]] = {}
# arguments of the declaration whose order Python cannot express: an optional one before a needed one
OPTIONAL_IN_PYTHON = {"update": {"token", "options"}}


@pytest.mark.parametrize("name", FACTS["enums"])
def test_enum_has_exactly_the_declared_members(name: str) -> None:
    """Every member has its declared value, aliases included, and there is no other but those named as ours."""
    enum = getattr(huks, name)
    members = {member: int(value) for member, value in enum.__members__.items()}
    assert members == FACTS["enums"][name] | OWN_MEMBERS.get(name, {})


@pytest.mark.parametrize("name", FACTS["interfaces"])
def test_interface_has_exactly_the_declared_fields(name: str) -> None:
    """Fields have the declared names and order; those that are optional can be left out."""
    declared = FACTS["interfaces"][name]
    kind = getattr(huks, name)
    assert [field.name for field in dataclasses.fields(kind)] == list(declared)
    for argument in inspect.signature(kind).parameters.values():
        can_be_left_out = argument.default is not inspect.Parameter.empty
        assert can_be_left_out or not declared[argument.name]["optional"], argument.name


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("where", ["Keystore", "module"])
def test_function_has_the_declared_arguments(where: str, name: str) -> None:
    """Arguments have the declared names and order, optional ones are optional, the others are not."""
    function = getattr(huks.Keystore if where == "Keystore" else huks, name)
    parameters = list(inspect.signature(function).parameters.values())
    if where == "Keystore":
        parameters = parameters[1:]
    assert [parameter.name for parameter in parameters] == [
        argument for argument, _, _ in FUNCTIONS[name]["params"]
    ]
    optional = {argument for argument, _, optional in FUNCTIONS[name]["params"] if optional}
    optional = OPTIONAL_IN_PYTHON.get(name, optional)
    assert {
        parameter.name for parameter in parameters if parameter.default is not parameter.empty
    } == optional
    assert all(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)
    assert inspect.iscoroutinefunction(function) == (FUNCTIONS[name]["kind"] == "promise")
    assert inspect.getdoc(function)


@pytest.mark.parametrize("name", sorted({*FUNCTIONS, *EXTERNAL_CRYPTO}))
def test_functions_and_methods_are_annotated_alike(name: str) -> None:
    """Whatever a method accepts, a type checker lets the function of the same name have, and the other way round."""
    function = getattr(huks, name, None) or getattr(huks.huksExternalCrypto, name)
    method = getattr(huks.Keystore, name)
    shared = {each: _spelling(kind) for each, kind in inspect.get_annotations(function).items()}
    assert shared == {each: _spelling(kind) for each, kind in inspect.get_annotations(method).items()}


def _spelling(annotation: object) -> str:
    """An annotation without the modules of its names, quoted or not."""
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    return re.sub(r"[a-zA-Z_]+\.|'", "", text)


def test_get_sdk_version_is_synchronous() -> None:
    """The one function of the declaration that is no promise answers at once, with dotted numbers."""
    assert [name for name in FUNCTIONS if name not in PROMISES] == ["getSdkVersion"]
    version = huks.getSdkVersion(NOTHING)
    assert all(part.isdigit() for part in version.split("."))


def test_keystore_has_nothing_unnamed() -> None:
    """A public name of Keystore is a declared function or a named extension."""
    public = {name for name in dir(huks.Keystore) if not name.startswith("_")}
    assert public == set(FUNCTIONS) | set(EXTERNAL_CRYPTO) | set(KEYSTORE_EXTENSIONS)


def test_module_has_nothing_unnamed() -> None:
    """A public name of the module is declared or a named extension, and each is there once."""
    declared = set(FUNCTIONS) | set(FACTS["enums"]) | set(FACTS["interfaces"])
    assert set(huks.__all__) == declared | MODULE_EXTENSIONS
    assert len(set(huks.__all__)) == len(huks.__all__)
    assert all(hasattr(huks, name) for name in huks.__all__)


def _arguments(name: str) -> list[Any]:
    """Arguments of the declared types, for calls that are refused whatever they are."""
    samples: dict[str, Any] = {"string": "alias", "number": 100, "HuksOptions": NOTHING, "HuksParam[]": []}
    return [samples.get(kind, b"\0" * 16) for _, kind, optional in FUNCTIONS[name]["params"] if not optional]


@pytest.mark.asyncio
async def test_exactly_the_unbuilt_functions_answer_801(
    keystore: huks.Keystore, capsys: pytest.CaptureFixture[str]
) -> None:
    """The functions that answer 801 are those of the list, each by its name, at both places."""
    with capsys.disabled():
        print(f"\nfunctions that answer 801: {', '.join(UNBUILT) or 'none'}")
    found = set()
    for name in PROMISES:
        for function in (getattr(keystore, name), getattr(huks, name)):
            try:
                await function(*_arguments(name))
            except huks.BusinessError as error:
                if error.code == 801 and name in error.message:
                    found.add(name)
    assert found == UNBUILT


@pytest.mark.asyncio
@pytest.mark.parametrize("name", OTHER_USER)
@pytest.mark.parametrize(("profile", "code"), [("server", 201), ("device", 202)])
async def test_forms_for_another_user_are_refused(profile: str, code: int, name: str) -> None:
    """Without a policy nobody acts for another user: 201, and 202 for an application of a device."""
    async with huks.Keystore.open("memory:", profile=profile, monitor=False) as keystore:
        with refused(code):
            await getattr(keystore, name)(*_arguments(name))
        with refused(code):
            await getattr(huks, name)(*_arguments(name))


PURPOSE_AS_TEXT = {"tag": huks.HuksTag.HUKS_TAG_PURPOSE, "value": "1"}
WRONG_TYPES: dict[str, list[Any]] = {
    "string": [None, 5, b"alias", ["alias"]],
    "number": [None, "100", 1.5, True],
    "HuksOptions": [None, 5, "x", [], {"properties": 5}, {"properties": [PURPOSE_AS_TEXT]}],
    "HuksParam[]": [None, 5, "x", {}, [None], [PURPOSE_AS_TEXT]],
}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", OTHER_USER)
async def test_wrong_types_are_told_before_who_may_act_for_whom(either: huks.Keystore, name: str) -> None:
    """Types of all arguments, then what has no form with a user, then the permission, then all else."""
    code = 12000018 if "Offline" in name else 401
    for place, (argument, kind, _) in enumerate(FUNCTIONS[name]["params"]):
        for wrong in WRONG_TYPES[kind]:
            arguments = _arguments(name)
            arguments[place] = wrong
            with refused(code):
                await getattr(either, name)(*arguments)
        if argument in ("huksOptions", "params"):
            for tags in ({"KEY_ACCESS_GROUP": b"group"}, {"KEY_CLASS": 1}):
                given = support.options(**tags)
                arguments[place] = given["properties"] if argument == "params" else given
                with refused(12000001):
                    await getattr(either, name)(*arguments)
    unknown_tag = [{"tag": 77, "value": 1}]
    values: dict[str, Any] = {
        "string": "",
        "number": 100,
        "HuksOptions": {"properties": unknown_tag},
        "HuksParam[]": unknown_tag,
    }
    with pytest.raises(huks.PermissionDeniedError):
        await getattr(either, name)(*(values[kind] for _, kind, _ in FUNCTIONS[name]["params"]))


CONDITIONAL = {
    "wrapKeyItem": (801, "no operator's wrapping key is configured: Keystore.open(wrapping_key=…)"),
    "unwrapKeyItem": (801, "no operator's wrapping key is configured: Keystore.open(wrapping_key=…)"),
} | dict.fromkeys(
    OTHER_USER, (201, "no policy lets the caller act for another user: Keystore.open(policy=…)")
)


@pytest.mark.asyncio
async def test_functions_that_need_something_say_what(
    keystore: huks.Keystore, capsys: pytest.CaptureFixture[str]
) -> None:
    """A keystore without extras refuses exactly these functions as such, with the code and a way out; listed."""
    made = support.options(ALGORITHM=support.AES, KEY_SIZE=256, PURPOSE=support.ENCRYPT, IS_ALLOWED_WRAP=True)
    await keystore.generateKeyItem("k", made)
    wrapping = support.options(KEY_WRAP_TYPE=2)
    with capsys.disabled():
        print()
        for name, (code, reason) in CONDITIONAL.items():
            print(f"{name}: {code}, {reason}")
            arguments = {"wrapKeyItem": ("k", wrapping), "unwrapKeyItem": ("k", wrapping, b"blob")}
            with refused(code, reason.rpartition(": ")[2].partition("(")[0]):
                await getattr(keystore, name)(*arguments.get(name, _arguments(name)))


def _spec(name: str) -> Any:
    path = SPEC / name
    if not path.exists():
        pytest.skip(f"the specification's {name} is not here")
    return json.loads(path.read_text())


def test_facts_agree_with_the_enums_of_the_specification() -> None:
    """The project's own data file says of enums what the specification says."""
    spec = _spec("enums.json")
    assert FACTS["enums"] == {
        enum: {name: member["value"] for name, member in members.items()} for enum, members in spec.items()
    }


def test_facts_agree_with_the_functions_of_the_specification() -> None:
    """The project's own data file says of functions and interfaces what the specification says."""
    spec = _spec("api.json")
    assert {
        name: [[field, fact["type"], fact["optional"]] for field, fact in interface.items()]
        for name, interface in FACTS["interfaces"].items()
    } == {
        name: [[field, fact["type"], fact["optional"]] for field, fact in interface["fields"].items()]
        for name, interface in spec["interfaces"].items()
    }
    assert set(FUNCTIONS) == set(spec["functions"])
    for name, fact in spec["functions"].items():
        ours = FUNCTIONS[name]
        assert ours["params"] == [
            [argument["name"], argument["type"], argument["optional"]] for argument in fact["params"]
        ]
        for field in ("kind", "returns", "since", "deprecated_since", "systemapi", "permission"):
            assert ours[field] == fact[field], (name, field)
        assert set(ours["errors"]) == {error["code"] for error in fact["errors"]}, name
