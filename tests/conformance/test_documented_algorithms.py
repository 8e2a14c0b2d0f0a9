"""The support matrix has every documented algorithm, size, mode, padding, digest and purpose, and says why not."""

from pathlib import Path

import pytest

import huks_async as huks
from huks_async.crypto.rules.authorise import check_key
from huks_async.model.enums import HuksCipherMode, HuksKeyAlg, HuksKeyDigest, HuksKeyPadding, HuksKeyPurpose
from huks_async.model.tags import HuksTag
from tests.conformance.documented import facts, from_matrix, from_specification, numbers

SPECIFICATION = Path(__file__).parents[3] / "shared" / "spec" / "algorithms.json"

FACTS = facts()
MATRIX = from_matrix()

REFUSED = {
    "RSA SIGN|VERIFY - ISO_IEC_9796_2 -": "small devices only; which scheme, hash and trailer is not documented",
    "HMAC MAC - - MD5": "optional, and the standard system refuses it; SHA256 is there for everybody",
}
"""Documented, and refused by every profile with the code of the facts."""

DEVICE_REFUSES = {"CMAC MAC CBC NONE -": "small devices only; a server has it, the device profile does not"}

EXTENSIONS = {"SM4": {"ENCRYPT|DECRYPT GCM NONE -"}}
"""Cells that no document lists and a server has: SM4-GCM is RFC 8998, and devices have it where their engine can."""

BEYOND = {
    "DES": ("DERIVE", "MAC"),
    "3DES": ("DERIVE", "MAC"),
    "X25519": ("SIGN|VERIFY",),
    "ED25519": ("AGREE",),
    "ML_DSA": ("AGREE", "UNWRAP"),
}
"""Groups of purposes whose cells are not listed: DES and 3DES follow AES, the others serve no session."""

LONGER = {"DSA": 4096, "HMAC": 16384, "SM3": 16384}
"""Algorithms whose documented sizes end earlier than those of implementations, in the same steps."""


@pytest.mark.parametrize("name", FACTS)
def test_every_documented_cell_is_there(name: str) -> None:
    """Number, purposes, sizes and cells are in the matrix."""
    documented, built = FACTS[name], MATRIX[name]
    assert built["number"] == documented["number"]
    assert set(documented["groups"]) <= set(built["groups"])
    assert numbers(documented["sizes"]) <= numbers(built["sizes"])
    assert set(documented["cells"]) <= set(built["cells"])


@pytest.mark.parametrize("name", MATRIX)
def test_nothing_undocumented_is_there(name: str) -> None:
    """What the matrix has beyond the documentation is listed, with its reason."""
    documented, built = FACTS[name], MATRIX[name]
    known = set(documented["cells"]) | {
        cell.removeprefix(f"{name} ") for cell in DEVICE_REFUSES if cell.startswith(f"{name} ")
    }
    extensions = EXTENSIONS.get(name, set())
    assert extensions <= set(built["cells"])
    beyond = {cell.split(" ")[0] for cell in set(built["cells"]) - known - extensions}
    assert beyond == set(BEYOND.get(name, ()))
    if name not in ("DES", "3DES"):
        assert not any(built["sessions"][group] for group in beyond)
    more = numbers(built["sizes"]) - numbers(documented["sizes"])
    assert bool(more) == (name in LONGER)
    if more:
        assert max(more) == LONGER[name]
        assert all(size % 8 == 0 for size in more)


def test_refusals_are_listed() -> None:
    """Every documented cell that is refused has a reason here."""
    refused = {f"{name} {cell}" for name, entry in FACTS.items() for cell in entry["refused"]}
    assert refused == REFUSED.keys() | DEVICE_REFUSES.keys()


@pytest.mark.parametrize("line", [*REFUSED, *DEVICE_REFUSES])
def test_refused_cells_have_their_documented_code(line: str) -> None:
    """A refused cell is refused when the key is made, with the documented code and a way out."""
    name, purposes, mode, padding, digest = line.split(" ")
    code = FACTS[name]["refused"][line.removeprefix(f"{name} ")]
    size = max(numbers(FACTS[name]["sizes"]))
    values: dict[int, int] = {
        HuksTag.HUKS_TAG_ALGORITHM: HuksKeyAlg[f"HUKS_ALG_{name}"],
        HuksTag.HUKS_TAG_KEY_SIZE: size,
        HuksTag.HUKS_TAG_PURPOSE: sum(
            HuksKeyPurpose[f"HUKS_KEY_PURPOSE_{word}"] for word in purposes.split("|")
        ),
    }
    if mode != "-":
        values[HuksTag.HUKS_TAG_BLOCK_MODE] = HuksCipherMode[f"HUKS_MODE_{mode}"]
    if padding != "-":
        values[HuksTag.HUKS_TAG_PADDING] = HuksKeyPadding[f"HUKS_PADDING_{padding}"]
    if digest != "-":
        values[HuksTag.HUKS_TAG_DIGEST] = HuksKeyDigest[f"HUKS_DIGEST_{digest}"]
    with pytest.raises(huks.BusinessError) as caught:
        check_key(values, device=True)
    assert caught.value.code == code
    if line in DEVICE_REFUSES:
        check_key(values)
        return
    with pytest.raises(huks.BusinessError) as caught:
        check_key(values)
    assert caught.value.code == code


@pytest.mark.asyncio
async def test_iso_9796_is_refused_by_sessions_too(keystore: huks.Keystore) -> None:
    """A key that leaves the padding open does not open a session with it either, in the same words."""
    iso = HuksKeyPadding.HUKS_PADDING_ISO_IEC_9796_2
    values = {
        HuksTag.HUKS_TAG_ALGORITHM: HuksKeyAlg.HUKS_ALG_RSA,
        HuksTag.HUKS_TAG_DIGEST: HuksKeyDigest.HUKS_DIGEST_SHA256,
    }
    key = values | {HuksTag.HUKS_TAG_KEY_SIZE: 2048, HuksTag.HUKS_TAG_PURPOSE: 12}
    await keystore.generateKeyItem("k", _options(key))
    for purpose in (4, 8):
        session = values | {HuksTag.HUKS_TAG_PURPOSE: purpose, HuksTag.HUKS_TAG_PADDING: iso}
        with pytest.raises(huks.BusinessError, match="HUKS_PADDING_PSS") as caught:
            await keystore.initSession("k", _options(session))
        assert caught.value.code == 12000001
    with pytest.raises(huks.BusinessError, match="HUKS_PADDING_PSS") as caught:
        await keystore.generateKeyItem("k", _options(key | {HuksTag.HUKS_TAG_PADDING: iso}))
    assert caught.value.code == 12000001


def _options(values: dict[HuksTag, int]) -> dict[str, object]:
    return {"properties": [{"tag": tag, "value": value} for tag, value in values.items()]}


def test_facts_are_those_of_the_specification() -> None:
    """The project's record says what the specification says."""
    if not SPECIFICATION.exists():
        pytest.skip("the specification is not beside this project")
    assert from_specification(SPECIFICATION) == FACTS
