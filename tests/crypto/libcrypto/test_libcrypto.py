"""The search for a libcrypto: what is passed over, and what the caller is told."""

import pytest
from cryptography.hazmat.bindings import _rust

from huks_async.crypto.libcrypto import search as libcrypto_search
from huks_async.crypto.libcrypto.binding import Libcrypto
from huks_async.crypto.libcrypto.search import ACCEPT_VARIABLE, PATH_VARIABLE, candidates, find, is_sound
from huks_async.crypto.sm2 import sm2
from huks_async.crypto.sm2.backend import sm2_backend
from huks_async.crypto.sm2.backend_libcrypto import LibcryptoSm2
from huks_async.crypto.sm2.encoding import identity_hash
from huks_async.model.errors import BusinessError
from tests.skips import skip_unsupported


@pytest.mark.parametrize(
    ("version", "sound"),
    [
        ((3, 0, 22), False),
        ((3, 0, 23), True),
        ((3, 1, 99), False),
        ((3, 3, 99), False),
        ((3, 4, 7), False),
        ((3, 4, 8), True),
        ((3, 5, 8), False),
        ((3, 5, 9), True),
        ((3, 6, 5), True),
        ((4, 0, 2), False),
        ((4, 0, 3), True),
        ((4, 1, 0), True),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_gate(version: tuple[int, int, int], sound: bool) -> None:
    """A release is sound from the fix of its branch on; branches without a fix never are."""
    assert is_sound(version) is sound


def test_missing_library_names_the_extra(tmp_path: object) -> None:
    """Where nothing will do, the error names the extra, the variables and what was looked at."""
    nowhere = f"{tmp_path}/libcrypto.so.3"
    with pytest.raises(BusinessError) as caught:
        find("SM2", "sm2", {PATH_VARIABLE: nowhere})
    assert caught.value.code == 12000001
    for word in ("huks-async[sm2]", PATH_VARIABLE, ACCEPT_VARIABLE, nowhere, "3.0.23"):
        assert word in caught.value.message


def test_sm2_without_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no library is found SM2 is not supported, and one that appears later is found."""
    for remembered in (sm2_backend, libcrypto_search.libcrypto_for):
        remembered.cache_clear()
    monkeypatch.setattr(libcrypto_search, "candidates", lambda _: iter(()))
    with pytest.raises(BusinessError, match=r"install the extra 'huks-async\[sm2\]'") as caught:
        sm2.generate(150, 256)
    assert caught.value.code == 12000001
    paths = list(candidates({}))
    monkeypatch.setattr(libcrypto_search, "candidates", lambda _: iter(paths))
    monkeypatch.setattr(libcrypto_search, "is_sound", lambda _: True)
    try:
        assert len(sm2.generate(150, 256).public) == 91
    except BusinessError as error:
        skip_unsupported(error)
    finally:
        for remembered in (sm2_backend, libcrypto_search.libcrypto_for):
            remembered.cache_clear()


def test_library_without_open_symbols() -> None:
    """A library without OpenSSL 3's functions, as `cryptography` with its hidden ones, is passed over."""
    with pytest.raises(BusinessError, match="not OpenSSL 3"):
        find("SM2", "sm2", {PATH_VARIABLE: _rust.__file__})


def test_named_library_is_the_only_candidate() -> None:
    """An operator who names a library gets that one or none."""
    assert list(candidates({PATH_VARIABLE: "libcrypto.so.77"})) == ["libcrypto.so.77"]
    assert next(candidates({})).startswith("libcrypto.")


def _any_libcrypto() -> Libcrypto:
    for path in candidates({}):
        try:
            return Libcrypto(path)
        except (OSError, AttributeError):
            continue
    pytest.skip("no libcrypto of OpenSSL 3 on this machine")


def test_unsound_release_needs_an_exact_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release below the gate is refused, unless its very version is accepted."""
    library = _any_libcrypto()
    monkeypatch.setattr(libcrypto_search, "is_sound", lambda _: False)
    named = {PATH_VARIABLE: library.path}
    with pytest.raises(BusinessError, match=rf"{library.version_text} is not among them"):
        find("RSA", "sm2", named)
    with pytest.raises(BusinessError):
        find("RSA", "sm2", {**named, ACCEPT_VARIABLE: "3"})
    assert find("RSA", "sm2", {**named, ACCEPT_VARIABLE: library.version_text}).version == library.version


def test_library_without_the_algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sound library that was built without the algorithm is passed over by name."""
    path = _any_libcrypto().path
    monkeypatch.setattr(libcrypto_search, "is_sound", lambda _: True)
    with pytest.raises(BusinessError, match="built without NOSUCH"):
        find("NOSUCH", "sm2", {PATH_VARIABLE: path})


def test_every_library_here_does_sm2_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signatures and ciphertexts pass between all libraries found, whatever their release."""
    monkeypatch.setattr(libcrypto_search, "is_sound", lambda _: True)
    backends = []
    for path in candidates({}):
        try:
            backends.append(LibcryptoSm2(find("SM2", "sm2", {PATH_VARIABLE: path})))
        except BusinessError:
            continue
    if not backends:
        pytest.skip("no libcrypto with SM2 on this machine")
    scalar = bytes(31) + b"\x05"
    keys = [backend.private_key(scalar, None) for backend in backends]
    points = {backend.public_point(key) for backend, key in zip(backends, keys, strict=True)}
    assert len(points) == 1
    e = identity_hash(points.pop())
    for backend, key in zip(backends, keys, strict=True):
        for other, its_key in zip(backends, keys, strict=True):
            assert other.verify(its_key, e, backend.sign(key, e))
            assert other.decrypt(its_key, backend.encrypt(key, b"hello")) == b"hello"
