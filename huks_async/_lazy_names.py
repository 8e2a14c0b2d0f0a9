"""Public names whose modules are loaded at the first use of the name (PEP 562)."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from huks_async.runtime.forks import no_fork


def lazy_names(package: str, homes: Mapping[str, tuple[str, ...]]) -> Callable[[str], Any]:
    """Make the `__getattr__` of a package, for names that few programs use.

    Args:
        package: the package's `__name__`.
        homes: by module of the package, relative to it (`.sqlite`), the names that it defines.

    A name is looked up here once; from then on the package has it as any other.
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        module = home_of.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with no_fork():
            value = getattr(import_module(module, package), name)
        setattr(sys.modules[package], name, value)
        return value

    return get
