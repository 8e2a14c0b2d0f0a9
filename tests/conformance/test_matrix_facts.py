"""The support matrix against the specification's own, in both directions, where the specification is here."""

import json
from pathlib import Path
from typing import Any

import pytest

from huks_async.crypto.rules.matrix import ALGORITHMS
from huks_async.model.enums import HuksCipherMode, HuksKeyAlg, HuksKeyDigest, HuksKeyPadding, HuksKeyPurpose

SPEC = Path(__file__).parents[3] / "shared" / "spec" / "algorithms.json"
Form = tuple[str, str, str | None, str | None, str | None]

# what the matrix has beyond the specification's list, and why
EXTENSIONS: set[Form] = {
    # accepted for a key, as documented samples or the reference do; no session serves them
    ("X25519", "SIGN|VERIFY", None, None, None),
    ("ED25519", "AGREE", None, None, None),
    ("ML_DSA", "AGREE", None, None, None),
    ("ML_DSA", "UNWRAP", None, None, None),
    # RFC 8998; on a server alone
    ("SM4", "ENCRYPT|DECRYPT", "GCM", "NONE", None),
    # the reference's engine takes them although no table lists them
    ("RSA", "ENCRYPT|DECRYPT", None, "OAEP", "MD5"),
    ("RSA", "ENCRYPT|DECRYPT", None, "OAEP", "SHA1"),
    ("RSA", "ENCRYPT|DECRYPT", None, "OAEP", "SHA224"),
    ("RSA", "SIGN|VERIFY", None, "PSS", "MD5"),
}
# what the specification lists and no kept library has, with the code it answers
LACKING: set[Form] = {("RSA", "SIGN|VERIFY", None, "ISO_IEC_9796_2", None)}


def _spec() -> dict[str, Any]:
    if not SPEC.exists():
        pytest.skip("the specification's algorithms.json is not here")
    algorithms: dict[str, Any] = json.loads(SPEC.read_text())["algorithms"]
    # those of sessions alone have no keys
    return {name: fact for name, fact in algorithms.items() if "purpose_groups" in fact}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _forms_of_spec(spec: dict[str, Any]) -> set[Form]:
    found: set[Form] = set()
    for name, fact in spec.items():
        for key, forms in fact["purposes"].items():
            # the two halves of a key encapsulation are one group
            purposes = "WRAP|UNWRAP" if name == "ML_KEM" else key
            for form in _listed(forms):
                digests = _listed(form.get("digest"))
                mode = form.get("block_mode")
                mode = None if str(mode).startswith("ignored") else mode
                if form.get("error") == 12000003 and name != "CMAC":
                    continue
                if any(str(digest).startswith("any") or digest == "ignored" for digest in digests):
                    digests = [None]
                for padding in _listed(form.get("padding")):
                    for digest in digests:
                        found.add((name, purposes, mode, padding, digest))
    return found


def _name(enum: Any, prefix: str, value: int | None) -> str | None:
    return None if value is None else enum(value).name.removeprefix(prefix)


def _forms_of_matrix() -> set[Form]:
    found: set[Form] = set()
    for algorithm in ALGORITHMS.values():
        name = algorithm.number.name.removeprefix("HUKS_ALG_")
        for usage in algorithm.usages:
            purposes = "|".join(
                member.name.removeprefix("HUKS_KEY_PURPOSE_")
                for member in HuksKeyPurpose
                if member & usage.purposes
            )
            for form in usage.forms:
                digests: list[int | None] = (
                    list(form.digests) if form.digest_needed and form.digests else [None]
                )
                for digest in digests:
                    found.add(
                        (
                            name,
                            purposes,
                            _name(HuksCipherMode, "HUKS_MODE_", form.mode),
                            _name(HuksKeyPadding, "HUKS_PADDING_", form.padding),
                            _name(HuksKeyDigest, "HUKS_DIGEST_", digest),
                        )
                    )
    return found


def test_forms_agree() -> None:
    """Every combination of the specification is in the matrix, and the other way round, but for the named ones."""
    spec, matrix = _forms_of_spec(_spec()), _forms_of_matrix()
    unlisted = {form for form in matrix if form[0] in ("DES", "3DES") and form[1] in ("DERIVE", "MAC")}
    assert spec - matrix == LACKING
    assert matrix - spec - unlisted == EXTENSIONS


def test_numbers_and_purposes_agree() -> None:
    """Algorithms have the same numbers, and all groups of purposes of the specification."""
    spec = _spec()
    assert {fact["enum"] for fact in spec.values()} == set(ALGORITHMS)
    for name, fact in spec.items():
        assert HuksKeyAlg[f"HUKS_ALG_{name}"] == fact["enum"]
        groups = {
            sum(HuksKeyPurpose[f"HUKS_KEY_PURPOSE_{purpose}"] for purpose in group)
            for group in fact["purpose_groups"]
        }
        assert groups <= {usage.purposes for usage in ALGORITHMS[fact["enum"]].usages}, name


def test_sizes_agree() -> None:
    """Every listed size is in the matrix, and lists without ranges have no others."""
    for name, fact in _spec().items():
        sizes = ALGORITHMS[fact["enum"]].sizes
        listed = {
            size
            for entry in fact["sizes"]
            for size in _listed(entry.get("bits", entry.get("parameter_set")))
            if isinstance(size, int)
        }
        for size in listed:
            assert any(size in entry if isinstance(entry, range) else size == entry for entry in sizes), (
                name,
                size,
            )
        if not any(isinstance(entry, range) for entry in sizes):
            assert not listed or listed == set(sizes), name
