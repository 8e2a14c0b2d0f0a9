"""Objects that are given as paths and are none."""

from collections.abc import Callable

import pytest

from huks_async import BusinessError, FileRootKey
from huks_async.providers import Pkcs11Provider
from huks_async.rootkeys import Pkcs11RootKey
from huks_async.stores import SqliteStore


class NoPath:
    """Claims to be a path, and gives neither str nor bytes."""

    def __fspath__(self) -> int:
        return 5


@pytest.mark.parametrize(
    "make",
    [
        FileRootKey,
        SqliteStore,
        lambda path: Pkcs11RootKey(path, "token", "1234"),
        lambda path: Pkcs11Provider(path, "token"),
    ],
    ids=["FileRootKey", "SqliteStore", "Pkcs11RootKey", "Pkcs11Provider"],
)
@pytest.mark.parametrize("path", [NoPath(), b"/tmp/bytes", 5], ids=["no path", "bytes", "int"])
def test_what_is_no_path_is_refused(make: Callable[[object], object], path: object) -> None:
    """With 401 and a message that says what is needed."""
    with pytest.raises(BusinessError, match="path") as caught:
        make(path)
    assert caught.value.code == 401
