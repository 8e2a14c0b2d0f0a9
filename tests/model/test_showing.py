"""What is shown of a caller's values: never bytes, never much, and never an error."""

import copy
import pickle
import sys
from typing import Any

import pytest
from hypothesis import given, settings

import huks_async as huks
from huks_async.access.vault import Kept
from huks_async.crypto.key_material import KeyMaterial
from huks_async.files.pipeline import Done
from huks_async.files.recipients import Session
from huks_async.model.params import MAX_PARAMS, ParamSet, parse_options, parse_properties
from huks_async.model.showing import shown, shown_list
from huks_async.provisioning import WrappedKey
from tests.model.foreign import Maker, foreign_values, nested

SECRET = b"correct horse battery staple"
BYTE_TAGS = [tag for tag in huks.HuksTag if tag >> 28 == 5]
FORMS = [SECRET, bytearray(SECRET), memoryview(SECRET), SECRET.decode()]


@pytest.mark.parametrize("tag", BYTE_TAGS, ids=lambda tag: tag.name)
def test_the_bytes_of_a_parameter_are_not_shown(tag: huks.HuksTag) -> None:
    """`repr` of a parameter has its tag's name and the length of its value, whatever form the bytes have."""
    for value in FORMS:
        param = huks.HuksParam(tag, value)
        for holder in (
            param,
            [param],
            huks.HuksOptions([param], value),
            ParamSet({}, {tag: SECRET}),
        ):
            text = f"{holder!r} {holder!s}"
            assert "horse" not in text
            assert tag.name in text
            assert f"<{len(SECRET)} " in text
    as_dict = huks.HuksOptions([{"tag": tag, "value": SECRET}])
    assert "horse" not in repr(as_dict)
    assert tag.name in repr(as_dict)


def test_results_and_handles_show_lengths() -> None:
    """What a call gave, in both interfaces, tells how many bytes it has."""
    param = huks.HuksParam(huks.HuksTag.HUKS_TAG_SALT, SECRET)
    for result in (
        huks.HuksReturnResult(SECRET, [param], ["certificate"], SECRET),
        huks.HuksResult(0, SECRET, [param], ["certificate"]),
        huks.HuksHandle(0, 17, SECRET),
        huks.HuksSessionHandle(17, SECRET),
        KeyMaterial(20, 256, SECRET, SECRET),
    ):
        assert "horse" not in repr(result)
        assert "<28 bytes>" in repr(result) or isinstance(result, KeyMaterial)
        assert copy.deepcopy(result) == result == pickle.loads(pickle.dumps(result))
    assert "handle=17" in repr(huks.HuksSessionHandle(17))
    assert "outData=<0 bytes>" in repr(huks.HuksReturnResult())


def test_numbers_are_shown() -> None:
    """What is no secret stays readable."""
    assert repr(huks.HuksParam(huks.HuksTag.HUKS_TAG_PURPOSE, 3)) == "HuksParam(HUKS_TAG_PURPOSE, 3)"
    assert repr(huks.HuksParam(77, True)) == "HuksParam(77, True)"
    assert repr(huks.HuksOptions()) == "HuksOptions(properties=None, inData=None)"


@settings(max_examples=300, deadline=None)
@given(foreign_values())
def test_any_value_is_shown_in_a_line(make: Maker) -> None:
    """Whatever an object is and does, what is shown of it has at most some hundred characters."""
    value = make()
    for text in (shown(value), repr(huks.HuksParam(value, value)), shown_list([value] * 3)):
        assert len(text) <= 500
    assert len(repr(huks.HuksOptions([value] * 1000, value))) < 10_000


@settings(max_examples=300, deadline=None)
@given(nested())
def test_any_options_are_parsed_or_refused_in_a_line(make: Maker) -> None:
    """Objects of any class anywhere in options end in parameters, or in 401 with a message that can be read."""
    try:
        parse_options(make())
    except huks.BusinessError as error:
        assert error.code == 401
        assert len(error.message) < 1000


@pytest.mark.parametrize("digits", [4301, 100_000])
def test_a_number_of_many_digits(digits: int) -> None:
    """The interpreter does not print it; the message tells its size."""
    assert digits > sys.get_int_max_str_digits()
    number = 10**digits
    for param in (huks.HuksParam(number, 1), huks.HuksParam(huks.HuksTag.HUKS_TAG_PURPOSE, number)):
        with pytest.raises(huks.BusinessError, match=rf"<an int of {number.bit_length()} bits>"):
            parse_properties([param])


def test_a_long_tag_is_cut() -> None:
    """A message shows the beginning of a text, and its length."""
    with pytest.raises(huks.BusinessError, match="1000000 characters") as caught:
        parse_properties([{"tag": "a" * 1_000_000, "value": 1}])
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("form", [list, tuple, iter], ids=["list", "tuple", "iterator"])
def test_a_long_list_is_refused_unseen(form: Any) -> None:
    """So many parameters are no set, and none of them is looked at."""

    class Untouchable(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            raise AssertionError("looked at")

    with pytest.raises(
        huks.BusinessError, match=f"parameters given, at most {MAX_PARAMS} are accepted"
    ) as caught:
        parse_properties(form([Untouchable()] * 1_000_000))
    assert caught.value.code == 401


def test_an_endless_iterator_of_parameters() -> None:
    """It is given up after some hundred."""
    with pytest.raises(huks.BusinessError, match="at most 42"):
        parse_properties({"tag": 0, "value": 0} for _ in iter(int, 1))


def test_what_an_iterator_raises_is_the_cause() -> None:
    """The caller finds its own error under ours."""

    def broken() -> Any:
        yield {"tag": huks.HuksTag.HUKS_TAG_PURPOSE, "value": 1}
        raise LookupError("the caller's own")

    with pytest.raises(huks.BusinessError, match="raised LookupError") as caught:
        parse_properties(broken())
    assert isinstance(caught.value.__cause__, LookupError)


def test_records_show_no_secrets() -> None:
    """What may hold a key or plaintext shows its length at most."""
    for record in (
        WrappedKey(SECRET, [huks.HuksParam(huks.HuksTag.HUKS_TAG_NONCE, SECRET)]),
        Session([], None, SECRET),
        Kept(3, SECRET),
        Done([SECRET], None),
    ):
        assert "horse" not in repr(record)
