"""From the parameters of an attestation and a key to the claims of its certificate."""

import json

from huks_async.keys.attestation import claims as c
from huks_async.keys.attestation.claims import Claim, application_claim, bytes_claim, number_claim
from huks_async.keys.forms.layouts import algorithm_name
from huks_async.keys.items.item import KeyItem
from huks_async.model.enums import HuksErrorCode, HuksKeyAlg, HuksKeyDigest, HuksKeyPadding, HuksKeyPurpose
from huks_async.model.errors import BusinessError
from huks_async.model.params import ParamSet
from huks_async.model.tags import HuksTag

_T = HuksTag
_A = HuksKeyAlg
_P = HuksKeyPurpose
_ATTESTABLE = (_A.HUKS_ALG_RSA, _A.HUKS_ALG_ECC, _A.HUKS_ALG_X25519, _A.HUKS_ALG_ED25519, _A.HUKS_ALG_SM2)
_CURVES = (256, 384, 521)
_SIGNING = _P.HUKS_KEY_PURPOSE_SIGN | _P.HUKS_KEY_PURPOSE_VERIFY
_CIPHER = _P.HUKS_KEY_PURPOSE_ENCRYPT | _P.HUKS_KEY_PURPOSE_DECRYPT
_SHA256 = (HuksKeyDigest.HUKS_DIGEST_SHA256, HuksKeyDigest.HUKS_DIGEST_SM3)
_MAX_CLAIMS_BYTES = 10_240
_DEVICE_IDS = (
    _T.HUKS_TAG_ATTESTATION_ID_BRAND,
    _T.HUKS_TAG_ATTESTATION_ID_DEVICE,
    _T.HUKS_TAG_ATTESTATION_ID_PRODUCT,
    _T.HUKS_TAG_ATTESTATION_ID_SERIAL,
    _T.HUKS_TAG_ATTESTATION_ID_IMEI,
    _T.HUKS_TAG_ATTESTATION_ID_MEID,
    _T.HUKS_TAG_ATTESTATION_ID_MANUFACTURER,
    _T.HUKS_TAG_ATTESTATION_ID_MODEL,
    _T.HUKS_TAG_ATTESTATION_ID_SOCID,
    _T.HUKS_TAG_ATTESTATION_ID_UDID,
)


def check_request(params: ParamSet, *, device: bool) -> None:
    """Check the parameters of an attestation.

    Raises:
        BusinessError: 401 without a challenge, and for an application id, which is not the caller's to
            state; for ids of a device 201 in the device profile, else 12000012.
    """
    for tag in _DEVICE_IDS:
        if tag in params.blobs:
            if device:
                raise BusinessError(201, f"{tag.name}: ids of the device need the permission ACCESS_IDS")
            raise BusinessError(
                12000012, f"{tag.name}: a server has no identity of a device to attest; leave the tag out"
            )
    if not params.blob(_T.HUKS_TAG_ATTESTATION_CHALLENGE):
        raise BusinessError(
            401,
            "HUKS_TAG_ATTESTATION_CHALLENGE is missing; give bytes of the verifier that nobody can foresee",
            reason=HuksErrorCode.HUKS_ERROR_PARAM_NOT_EXIST,
        )
    if _T.HUKS_TAG_ATTESTATION_APPLICATION_ID in params.blobs:
        raise BusinessError(401, "HUKS_TAG_ATTESTATION_APPLICATION_ID is set by the keystore itself")


def check_key(item: KeyItem) -> None:
    """Refuse keys that have no certificate: 401, for other curves and lone halves 12000001."""
    material = item.material
    if material.algorithm not in _ATTESTABLE:
        names = ", ".join(algorithm_name(one) for one in _ATTESTABLE)
        raise BusinessError(
            401,
            f"key {item.alias!r} is of {algorithm_name(material.algorithm)}; attested are {names}",
            reason=HuksErrorCode.HUKS_ERROR_INVALID_ALGORITHM,
        )
    if material.algorithm == _A.HUKS_ALG_ECC and material.size not in _CURVES:
        raise BusinessError(
            12000001, f"key {item.alias!r} is on a curve of {material.size} bits; attested are {_CURVES}"
        )
    if not material.public:
        raise BusinessError(12000001, f"key {item.alias!r} was imported without its public half")
    if not material.secret:
        # the certificate says that the key is held here, and anybody can import another's public key
        raise BusinessError(
            12000001,
            f"key {item.alias!r} is a public key alone, so its private half is not known to be held here; attest the "
            "key in the keystore that holds it",
        )


def make_claims(params: ParamSet, item: KeyItem, namespace: str, level: int) -> bytes:
    """The value of the extension; `level` is who vouches for what the keystore itself states."""
    challenge = params.blobs[_T.HUKS_TAG_ATTESTATION_CHALLENGE]
    made = [bytes_claim(0, c.CHALLENGE, challenge)]
    key_id = params.blob(_T.HUKS_TAG_ATTESTATION_ID_ALIAS)
    if key_id:
        made.append(bytes_claim(level, c.KEY_ID, key_id))
    who = json.dumps({"processName": namespace, "APL": "", "keystore": "huks_async, software"})
    made.append(application_claim(level, c.SERVICE, who.encode()))
    for tag, oid in (
        (_T.HUKS_TAG_ATTESTATION_ID_SEC_LEVEL_INFO, c.SECURITY_LEVEL_INFO),
        (_T.HUKS_TAG_ATTESTATION_ID_VERSION_INFO, c.VERSION_INFO),
    ):
        value = params.blob(tag)
        if value:
            made.append(bytes_claim(level, oid, value))
    numbers = item.params.numbers
    made.append(number_claim(level, c.SIGN_TYPE, numbers.get(_T.HUKS_TAG_KEY_SECURE_SIGN_TYPE, 0)))
    made.append(number_claim(level, c.KEY_FLAG, numbers[_T.HUKS_TAG_KEY_FLAG]))
    made += _usage(item, level)
    encoded = c.encode(made)
    if len(encoded) > _MAX_CLAIMS_BYTES:
        raise BusinessError(401, f"the claims have {len(encoded)} bytes, accepted {_MAX_CLAIMS_BYTES}")
    return encoded


def _usage(item: KeyItem, level: int) -> list[Claim]:
    numbers, algorithm = item.params.numbers, item.material.algorithm
    group = _group(
        algorithm,
        numbers[_T.HUKS_TAG_PURPOSE],
        numbers.get(_T.HUKS_TAG_DIGEST),
        numbers.get(_T.HUKS_TAG_PADDING, HuksKeyPadding.HUKS_PADDING_NONE),
    )
    if group is not None:
        return [Claim(level, group, c.BOOLEAN, b"\xff")]
    told = [(c.USAGE, _T.HUKS_TAG_PURPOSE), (c.DIGEST, _T.HUKS_TAG_DIGEST)]
    if algorithm not in (_A.HUKS_ALG_RSA, _A.HUKS_ALG_SM2):
        told.append((c.PADDING, _T.HUKS_TAG_PADDING))
    # what the key leaves open is not claimed
    return [number_claim(level, oid, numbers[tag]) for oid, tag in told if tag in numbers]


def _group(algorithm: int, purpose: int, digest: int | None, padding: int) -> str | None:
    """The one claim that stands for a usual combination."""
    if purpose & _SIGNING:
        if algorithm == _A.HUKS_ALG_SM2:
            return c.SIGN_ECDSA
        if digest in _SHA256:
            if algorithm == _A.HUKS_ALG_RSA and padding == HuksKeyPadding.HUKS_PADDING_PSS:
                return c.SIGN_RSA_PSS
            if algorithm == _A.HUKS_ALG_ECC and padding == HuksKeyPadding.HUKS_PADDING_NONE:
                return c.SIGN_ECDSA
    is_oaep = algorithm == _A.HUKS_ALG_RSA and padding == HuksKeyPadding.HUKS_PADDING_OAEP
    if purpose & _CIPHER and is_oaep:
        sha256 = digest == HuksKeyDigest.HUKS_DIGEST_SHA256
        return c.ENCRYPT_RSA_OAEP_SHA256 if sha256 else c.ENCRYPT_RSA_OAEP
    return None
