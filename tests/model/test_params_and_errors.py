"""Parameters in every form parse alike; errors keep their branch, code and secrets."""

import pickle
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import huks_async as huks
from huks_async.model.errors import ERRORS, BusinessError
from huks_async.model.params import parse_properties, tag_name

T = huks.HuksTag
TAGS = [*T, *huks.InnerTag, 77, -1, 0x6000_0001]
VALUES = st.one_of(
    st.integers(-(2**33), 2**65),
    st.booleans(),
    st.binary(max_size=8),
    st.binary(max_size=8).map(bytearray),
    st.just("text"),
    st.none(),
    st.floats(),
)


def outcome(properties: Any) -> Any:
    """What parsing gives: the parameters, or the code and message."""
    try:
        found = parse_properties(properties)
    except BusinessError as error:
        return error.code, error.message
    assert all(type(value) is bytes for value in found.blobs.values())
    return found.numbers, found.blobs


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(TAGS), VALUES), max_size=6))
def test_every_form_parses_alike(pairs: list[tuple[int, Any]]) -> None:
    """Mappings, HuksParam, tuples of them, iterators and mixtures give the same parameters, or the same error."""
    mappings = [{"tag": tag, "value": value} for tag, value in pairs]
    params = [huks.HuksParam(tag, value) for tag, value in pairs]
    expected = outcome(mappings)
    mixed = [
        param if number % 2 else mapping
        for number, (param, mapping) in enumerate(zip(params, mappings, strict=True))
    ]
    for form in (params, tuple(mappings), iter(mappings), (param for param in params), mixed):
        assert outcome(form) == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([tag for tag in T if tag]), VALUES), max_size=6))
def test_only_documented_errors_leave_the_parser(pairs: list[tuple[int, Any]]) -> None:
    """Whatever the values are, parsing succeeds or answers 401."""
    result = outcome([{"tag": tag, "value": value} for tag, value in pairs])
    assert result[0] == 401 or isinstance(result[0], dict)


def test_parameters_show_no_bytes() -> None:
    """The text of a parameter set has the lengths of byte values alone."""
    text = repr(
        parse_properties([huks.HuksParam(T.HUKS_TAG_IV, b"secret"), huks.HuksParam(T.HUKS_TAG_PURPOSE, 1)])
    )
    assert "secret" not in text
    assert "HUKS_TAG_IV=<6 bytes>" in text
    assert "HUKS_TAG_PURPOSE=1" in text
    assert tag_name(77) == "77"


@pytest.mark.parametrize("code", list(huks.HuksExceptionErrCode))
def test_every_documented_code_has_a_branch(code: int) -> None:
    """Each documented code makes an error of its branch, which survives the way between processes."""
    error = BusinessError(code, "what was wrong", data=3)
    assert code in ERRORS
    assert type(error) is not BusinessError
    assert isinstance(error, ERRORS[code].branch)
    assert type(error.reason) is huks.HuksErrorCode
    assert int(error.reason) < 0
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), back.code, back.message, back.reason, back.data) == (
        type(error),
        code,
        "what was wrong",
        error.reason,
        3,
    )
    assert str(error) == f"{int(code)}: what was wrong"


@pytest.mark.parametrize("kind", [float, Decimal, complex, str])
@pytest.mark.parametrize("form", [dict, huks.HuksParam])
def test_a_tag_that_only_equals_a_tag_is_none(kind: Any, form: Any) -> None:
    """A number of another type finds the tag in a table, but is no tag."""
    for tag, value in ((T.HUKS_TAG_ALGORITHM, 20), (T.HUKS_TAG_KEY_OVERRIDE, True), (T.HUKS_TAG_NONCE, b"x")):
        assert outcome([form(tag=int(tag), value=value)])[0] != 401
        assert outcome([form(tag=kind(int(tag)), value=value)])[0] == 401
