"""What a key's own parameters allow: at generation and import, and for each session.

Codes and the order of checks follow the documented tables; the first mistake found decides. Longer than other files, so
that this order can be read from top to bottom.
"""

from collections.abc import Mapping

from huks_async.crypto.key_material import wrong_size
from huks_async.crypto.rules.matrix import (
    AGREE,
    ALGORITHMS,
    CIPHER,
    DERIVE,
    MAC,
    SESSION_ALGORITHMS,
    SIGNATURE,
    Algorithm,
    Form,
    Usage,
    has_size,
    list_sizes,
    usage_of,
)
from huks_async.model.enums import (
    HuksCipherMode,
    HuksErrorCode,
    HuksKeyAlg,
    HuksKeyDigest,
    HuksKeyPadding,
    HuksKeyPurpose,
    HuksUserAuthType,
)
from huks_async.model.errors import BusinessError
from huks_async.model.params import tag_name
from huks_async.model.tags import HuksTag, InnerTag

_ALGORITHM, _PURPOSE, _KEY_SIZE = (
    int(HuksTag.HUKS_TAG_ALGORITHM),
    int(HuksTag.HUKS_TAG_PURPOSE),
    int(HuksTag.HUKS_TAG_KEY_SIZE),
)
_DIGEST, _PADDING, _MODE = (
    int(HuksTag.HUKS_TAG_DIGEST),
    int(HuksTag.HUKS_TAG_PADDING),
    int(HuksTag.HUKS_TAG_BLOCK_MODE),
)
_SALT_LENGTH = int(HuksTag.HUKS_TAG_RSA_PSS_SALT_LEN_TYPE)
_E = HuksErrorCode

_ENUM_OF_TAG = {
    _ALGORITHM: HuksKeyAlg,
    _DIGEST: HuksKeyDigest,
    _PADDING: HuksKeyPadding,
    _MODE: HuksCipherMode,
}
# The names that HUKS has for a missing and for a bad value of each tag; errors carry them as their reason.
_MISSING = {
    _DIGEST: _E.HUKS_ERROR_CHECK_GET_DIGEST_FAIL,
    _PADDING: _E.HUKS_ERROR_CHECK_GET_PADDING_FAIL,
    _MODE: _E.HUKS_ERROR_CHECK_GET_MODE_FAIL,
}
_INVALID = {
    _DIGEST: _E.HUKS_ERROR_INVALID_DIGEST,
    _PADDING: _E.HUKS_ERROR_INVALID_PADDING,
    _MODE: _E.HUKS_ERROR_INVALID_MODE,
}

_RSA = HuksKeyAlg.HUKS_ALG_RSA
_DEFAULT_BATCH_SECONDS, _MAX_BATCH_SECONDS = 60, 600
_DIGEST_FREE = (HuksKeyAlg.HUKS_ALG_ED25519, HuksKeyAlg.HUKS_ALG_ML_DSA)


# --- keys -------------------------------------------------------------------------------------


def check_key(
    numbers: Mapping[int, int], *, device: bool = False, raw: bool = False
) -> tuple[Algorithm, Usage, int]:
    """Check the parameters of a key to be made, imported or derived.

    Args:
        numbers: number parameters by tag.
        device: refuse what a device with the standard software engine refuses.
        raw: the key is imported as raw bytes, a wrong size of which has another name.

    Returns:
        the algorithm, the usage that the key's purposes belong to, and the size.

    Raises:
        BusinessError: 12000002 for a missing parameter, 12000003 for a value that the algorithm
            does not take, 401 where the documented code says so (ECDH, size of a MAC key).
    """
    algorithm = _key_algorithm(numbers, device)
    purposes = numbers.get(_PURPOSE)
    if not purposes:
        raise BusinessError(
            12000002,
            "HUKS_TAG_PURPOSE is missing: say what the key is for, e.g. HUKS_KEY_PURPOSE_ENCRYPT | …",
            reason=_E.HUKS_ERROR_CHECK_GET_PURPOSE_FAIL,
        )
    batch = numbers.get(InnerTag.BATCH_PURPOSE, 0)
    if batch & ~purposes:
        raise BusinessError(
            12000003,
            f"BATCH_PURPOSE: got {purpose_names(batch)}, the key is for {purpose_names(purposes)}",
            reason=_E.HUKS_ERROR_INVALID_PURPOSE,
        )
    if numbers.get(
        HuksTag.HUKS_TAG_USER_AUTH_TYPE
    ) == HuksUserAuthType.HUKS_USER_AUTH_TYPE_TUI_PIN and not numbers.get(HuksTag.HUKS_TAG_NO_AUTH_REQUIRED):
        raise BusinessError(
            12000001,
            "HUKS_TAG_USER_AUTH_TYPE: a PIN on a trusted screen needs a device; use HUKS_USER_AUTH_TYPE_PIN",
        )
    usage = usage_of(algorithm, purposes, device=device)
    # The order of checks follows HUKS: keys for DERIVE and MAC are asked for their purpose before their size,
    # all others after it.
    if usage is None and purposes & (DERIVE | MAC):
        raise _bad_purpose(algorithm, purposes)
    size = numbers.get(_KEY_SIZE)
    if size is None:
        raise BusinessError(
            12000002,
            f"HUKS_TAG_KEY_SIZE is missing: {algorithm.number.name} has {list_sizes(algorithm.sizes)}",
            reason=_E.HUKS_ERROR_CHECK_GET_KEY_SIZE_FAIL,
        )
    sizes = (usage.sizes if usage else None) or algorithm.sizes
    if not has_size(sizes, size):
        # In HUKS it is the engine that notices a MAC key of a wrong size, and it has the general code alone.
        code = 401 if algorithm.number in (HuksKeyAlg.HUKS_ALG_HMAC, HuksKeyAlg.HUKS_ALG_SM3) else 12000003
        message = f"HUKS_TAG_KEY_SIZE: got {size}, {algorithm.number.name} accepts {list_sizes(sizes)}"
        if raw:
            # as the deprecated functions of devices were seen to answer
            raise BusinessError(code, message, reason=_E.HUKS_ERROR_INVALID_KEY_INFO)
        raise wrong_size(code, message)
    if usage is None:
        raise _bad_purpose(algorithm, purposes)
    _check_fixed_values(algorithm, usage, numbers)
    return algorithm, usage, size


def _key_algorithm(numbers: Mapping[int, int], device: bool) -> Algorithm:
    number = numbers.get(_ALGORITHM)
    if number is None:
        raise BusinessError(
            12000002,
            "HUKS_TAG_ALGORITHM is missing: give a member of HuksKeyAlg",
            reason=_E.HUKS_ERROR_CHECK_GET_ALG_FAIL,
        )
    if number == HuksKeyAlg.HUKS_ALG_ECDH:
        raise BusinessError(401, "HUKS_ALG_ECDH is an algorithm of sessions: make the key with HUKS_ALG_ECC")
    algorithm = ALGORITHMS.get(number)
    if algorithm is None or (device and not algorithm.device):
        names = ", ".join(known.number.name for known in ALGORITHMS.values() if known.device or not device)
        raise BusinessError(
            12000003,
            f"HUKS_TAG_ALGORITHM: got {_shown(_ALGORITHM, number)}, keys are of {names}",
            reason=_E.HUKS_ERROR_INVALID_ALGORITHM,
        )
    return algorithm


def _bad_purpose(algorithm: Algorithm, purposes: int) -> BusinessError:
    groups = " or ".join(purpose_names(usage.purposes) for usage in algorithm.usages)
    return BusinessError(
        12000003,
        f"HUKS_TAG_PURPOSE: got {purpose_names(purposes)}, a key of {algorithm.number.name} takes "
        f"purposes of one group: {groups}",
        reason=_E.HUKS_ERROR_INVALID_PURPOSE,
    )


def _check_fixed_values(algorithm: Algorithm, usage: Usage, numbers: Mapping[int, int]) -> None:
    """Values that a key fixes must be legal; those that play no part are stored and ignored."""
    _check_refused_padding(usage, numbers.get(_PADDING))
    for tag, accepted in ((_PADDING, usage.paddings), (_DIGEST, usage.digests), (_MODE, usage.modes)):
        value = numbers.get(tag)
        if value is not None and accepted and value not in accepted:
            raise _bad_value(tag, value, accepted, algorithm.number)
    mode, padding = numbers.get(_MODE), numbers.get(_PADDING)
    if usage.modes and mode is not None and padding is not None:
        _form(usage, algorithm.number, mode, padding, None)


# --- sessions ---------------------------------------------------------------------------------


def check_session(
    key: Mapping[int, int], session: Mapping[int, int], *, device: bool = False
) -> tuple[Usage, Form]:
    """Check a session's number parameters against those stored with its key.

    Returns:
        the usage of the key, and the combination that the session runs; its mode, padding and
        digest are in `session_values`.

    Raises:
        BusinessError: as the documented order of checks says: 401 for a missing or differing tag,
            12000002 for a value left open by both, 12000003 for what the algorithm cannot do.
    """
    purpose, number = check_named(session)
    group = _purpose_group(purpose)
    if group is None:
        raise BusinessError(
            401,
            f"HUKS_TAG_PURPOSE: got {purpose_names(purpose)}, a session has exactly one of ENCRYPT, "
            "DECRYPT, SIGN, VERIFY, DERIVE, MAC, AGREE",
            reason=_E.HUKS_ERROR_INVALID_ARGUMENT,
        )
    served = SESSION_ALGORITHMS[group]
    if device:
        served = frozenset(known for known in served if _on_device(known))
    # Keys for SM2 agreement are declared, and no engine serves them: their session passes here and fails when
    # it is held against the key.
    for_sm2 = group == AGREE and number == key.get(_ALGORITHM) == HuksKeyAlg.HUKS_ALG_SM2
    unserved = None
    if number not in served and not for_sm2:
        unserved = BusinessError(
            12000003,
            f"HUKS_TAG_ALGORITHM: got {_shown(_ALGORITHM, number)}, {purpose_names(purpose)} sessions serve "
            + ", ".join(sorted(HuksKeyAlg(known).name for known in served)),
            reason=_E.HUKS_ERROR_INVALID_ALGORITHM,
        )
    if unserved is not None and group != DERIVE:
        raise unserved
    if group == SIGNATURE and number == _RSA:
        _check_rsa_signature(key, session)
    matched = _match_key(key, session, purpose, number, device=device)
    # a derivation is held against its key before anything asks which function it names
    if unserved is not None:
        raise unserved
    return matched


def check_named(session: Mapping[int, int]) -> tuple[int, int]:
    """Check that a session names its purpose, its algorithm and the digest where it needs one: 401.

    Returns:
        purpose and algorithm.
    """
    purpose, number = session.get(_PURPOSE), session.get(_ALGORITHM)
    if not purpose or not number:
        missing = "HUKS_TAG_PURPOSE" if not purpose else "HUKS_TAG_ALGORITHM"
        raise BusinessError(401, f"{missing} is missing: a session names its algorithm and one purpose")
    needs_digest = number in (HuksKeyAlg.HUKS_ALG_HMAC, HuksKeyAlg.HUKS_ALG_SM3) or (
        _purpose_group(purpose) == SIGNATURE and number not in _DIGEST_FREE
    )
    if needs_digest and _DIGEST not in session:
        raise BusinessError(401, f"HUKS_TAG_DIGEST is missing: {_shown(_ALGORITHM, number)} sessions need it")
    return purpose, number


def check_batch_tags(session: Mapping[int, int]) -> int | None:
    """Check the tags of a batch session: one authentication, many operations.

    Returns:
        seconds that it may take; None for an ordinary session.

    Raises:
        BusinessError: 12000001 for a time above 600 seconds, or one without HUKS_TAG_IS_BATCH_OPERATION.
    """
    seconds = session.get(InnerTag.BATCH_OPERATION_TIMEOUT)
    if not session.get(InnerTag.IS_BATCH_OPERATION):
        if seconds is not None:
            raise BusinessError(
                12000001,
                "BATCH_OPERATION_TIMEOUT (315) is for batch sessions: give IS_BATCH_OPERATION (314), too",
            )
        return None
    if seconds is None:
        return _DEFAULT_BATCH_SECONDS
    if seconds > _MAX_BATCH_SECONDS:
        raise BusinessError(
            12000001, f"BATCH_OPERATION_TIMEOUT: got {seconds} seconds, accepted {_MAX_BATCH_SECONDS} at most"
        )
    return seconds


def check_batch_purpose(key: Mapping[int, int], purpose: int) -> None:
    """Check the purpose of a batch session, or of an operation in it, against its key.

    Raises:
        BusinessError: 401 for a key without batch purposes; 12000003 for a purpose that is none of them.
    """
    batch = key.get(InnerTag.BATCH_PURPOSE)
    if batch is None:
        raise BusinessError(
            401, "the key was made without BATCH_PURPOSE (313), so it serves no batch sessions"
        )
    if purpose & ~batch:
        raise BusinessError(
            12000003,
            f"HUKS_TAG_PURPOSE: got {purpose_names(purpose)}, batch sessions of this key serve {purpose_names(batch)}",
            reason=_E.HUKS_ERROR_INVALID_PURPOSE,
        )


def _match_key(
    key: Mapping[int, int], session: Mapping[int, int], purpose: int, number: int, *, device: bool
) -> tuple[Usage, Form]:
    algorithm = ALGORITHMS[key[_ALGORITHM]]
    usage = usage_of(algorithm, key.get(_PURPOSE, 0), device=device)
    if usage is None:
        raise BusinessError(12000012, "the stored key has purposes that its algorithm does not know")
    if usage.compares_algorithm and number != algorithm.number:
        raise _mismatch(_ALGORITHM, algorithm.number, number)
    # A key for something else is told at once: which values it leaves open says nothing about this operation.
    if not purpose & usage.purposes:
        raise _not_made_for(purpose, key[_PURPOSE])
    if number not in usage.sessions and purpose != DERIVE:
        raise BusinessError(
            401,
            f"HUKS_TAG_ALGORITHM: got {_shown(_ALGORITHM, number)}, a key of {algorithm.number.name} made for "
            f"{purpose_names(key[_PURPOSE])} serves sessions of "
            + (", ".join(HuksKeyAlg(known).name for known in usage.sessions) or "no algorithm"),
        )
    if _PADDING not in key:
        _check_refused_padding(usage, session.get(_PADDING))
    values = {}
    for tag, accepted in ((_DIGEST, usage.digests), (_MODE, usage.modes), (_PADDING, usage.paddings)):
        if accepted:
            values[tag] = _settled_value(tag, accepted, usage, algorithm, key, session)
    form = _form(usage, algorithm.number, values.get(_MODE), values.get(_PADDING), values.get(_DIGEST))
    if purpose & ~key[_PURPOSE]:
        raise _not_made_for(purpose, key[_PURPOSE])
    return usage, form


def _not_made_for(purpose: int, purposes: int) -> BusinessError:
    return BusinessError(
        401,
        f"HUKS_TAG_PURPOSE: got {purpose_names(purpose)}, the key was made for {purpose_names(purposes)}",
    )


def _settled_value(
    tag: int,
    accepted: tuple[int, ...],
    usage: Usage,
    algorithm: Algorithm,
    key: Mapping[int, int],
    session: Mapping[int, int],
) -> int | None:
    """The value of a tag that key and session agree on."""
    fixed, given = key.get(tag), session.get(tag)
    if tag == _DIGEST and algorithm.number == _RSA and usage.purposes == CIPHER:
        # In these two the digest plays no part, so it is neither compared nor looked at.
        padding = session.get(_PADDING, key.get(_PADDING))
        if padding in (HuksKeyPadding.HUKS_PADDING_NONE, HuksKeyPadding.HUKS_PADDING_PKCS1_V1_5):
            return None
    if fixed is not None:
        if given == fixed:
            return given
        if given is None:
            raise BusinessError(
                401,
                f"{tag_name(tag)} is missing: the key was made with {_shown(tag, fixed)}, and the session "
                "must say the same",
                reason=_E.HUKS_ERROR_PARAM_NOT_EXIST,
            )
        raise _mismatch(tag, fixed, given)
    if given is None and tag == _PADDING and not any(form.padding_needed for form in usage.forms):
        return None
    if given is None:
        raise BusinessError(
            12000002,
            f"{tag_name(tag)} is missing: the key leaves it open, so the session must give one of "
            + _listed(tag, accepted),
            reason=_MISSING[tag],
        )
    if given not in accepted:
        raise _bad_value(tag, given, accepted, algorithm.number)
    return given


def _check_refused_padding(usage: Usage, padding: int | None) -> None:
    reason = usage.refused_paddings.get(padding) if padding is not None else None
    if reason is not None:
        raise BusinessError(12000001, f"{_shown(_PADDING, padding or 0)} is not supported: {reason}")


def _check_rsa_signature(key: Mapping[int, int], session: Mapping[int, int]) -> None:
    padding = session.get(_PADDING)
    if padding is None:
        raise BusinessError(
            401,
            "HUKS_TAG_PADDING is missing: RSA signature sessions need it",
            reason=_E.HUKS_ERROR_PARAM_NOT_EXIST,
        )
    if padding == HuksKeyPadding.HUKS_PADDING_PSS:
        fixed, given = key.get(_SALT_LENGTH), session.get(_SALT_LENGTH)
        if fixed is not None and given != fixed:
            raise BusinessError(
                12000012,
                f"HUKS_TAG_RSA_PSS_SALT_LEN_TYPE: got {'nothing' if given is None else given}, "
                f"the key was made with {fixed}",
            )
        if given not in (None, 0, 1):
            raise BusinessError(
                12000003, f"HUKS_TAG_RSA_PSS_SALT_LEN_TYPE: got {given}, accepted 0 (digest) and 1 (maximum)"
            )


def _form(usage: Usage, algorithm: int, mode: int | None, padding: int | None, digest: int | None) -> Form:
    """The combination of the matrix that these values are."""
    for form in usage.forms:
        if form.mode is not None and mode is not None and form.mode != mode:
            continue
        if form.padding is not None and padding is not None and form.padding != padding:
            continue
        if form.digests and digest is not None and digest not in form.digests:
            continue
        return form
    parts = [
        _shown(tag, value)
        for tag, value in ((_MODE, mode), (_PADDING, padding), (_DIGEST, digest))
        if value is not None
    ]
    padding_or_digest = _E.HUKS_ERROR_INVALID_PADDING if usage.modes else _E.HUKS_ERROR_INVALID_DIGEST
    raise BusinessError(
        12000003,
        f"{HuksKeyAlg(algorithm).name} does not combine {' with '.join(parts)}",
        reason=padding_or_digest,
    )


def _purpose_group(purpose: int) -> int | None:
    for group in (CIPHER, SIGNATURE):
        if purpose in (group & -group, group & (group - 1)):
            return group
    return purpose if purpose in (DERIVE, MAC, AGREE) else None


def _on_device(number: int) -> bool:
    algorithm = ALGORITHMS.get(number)
    return algorithm is None or algorithm.device


def _mismatch(tag: int, fixed: int, given: int) -> BusinessError:
    return BusinessError(
        401,
        f"{tag_name(tag)}: got {_shown(tag, given)}, the key was made with {_shown(tag, fixed)}",
    )


def _bad_value(tag: int, value: int, accepted: tuple[int, ...], algorithm: int) -> BusinessError:
    return BusinessError(
        12000003,
        f"{tag_name(tag)}: got {_shown(tag, value)}, {HuksKeyAlg(algorithm).name} accepts "
        + _listed(tag, accepted),
        reason=_INVALID[tag],
    )


def _listed(tag: int, values: tuple[int, ...]) -> str:
    return ", ".join(_shown(tag, value) for value in values)


def _shown(tag: int, value: int) -> str:
    try:
        return _ENUM_OF_TAG[tag](value).name
    except ValueError:
        return str(value)


def purpose_names(purposes: int) -> str:
    """A mask of purposes in words: `ENCRYPT | DECRYPT`."""
    names = [member.name.removeprefix("HUKS_KEY_PURPOSE_") for member in HuksKeyPurpose if member & purposes]
    rest = purposes & ~sum(HuksKeyPurpose)
    return " | ".join(names + ([hex(rest)] if rest or not names else []))


__all__ = [
    "check_batch_purpose",
    "check_batch_tags",
    "check_key",
    "check_named",
    "check_session",
    "purpose_names",
]
