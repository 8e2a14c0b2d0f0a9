"""The arguments that commands share, among them where the keystore is."""

import io
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from cyclopts import Parameter

import huks_async
from huks_async.access.callers import check_namespace
from huks_async.cli.shell.console import STANDARD_INPUT, CommandError, naming, usage_error
from huks_async.cli.shell.descriptors import named_descriptor
from huks_async.cli.shell.files import STANDARD, Way, open_output, prepare_output, refuse_terminal
from huks_async.cli.shell.targets import Output
from huks_async.cli.words.parameters import Tags
from huks_async.keys.items.aliases import check_alias
from huks_async.keystore.open_arguments import DEFAULT_NAMESPACE, choose_store
from huks_async.model.errors import BusinessError

_ILLEGAL, _NOT_FOUND, _EXISTS = 401, 12000011, 12000017


def no_option(type_: object, value: str | list[str] | None) -> None:
    """Validate the name of a file, or names of files."""
    # a word that may be "-" may be any word with a hyphen, a mistyped option too
    for name in [value] if isinstance(value, str) else value or ():
        if name.startswith("-") and name != STANDARD:
            raise ValueError(f"there is no option {name}; a file of this name is ./{name}")


@contextmanager
def wrong_words() -> Iterator[None]:
    """Tell what the library refuses of the command's words alone, before it has done anything, as wrong usage.

    Raises:
        CommandError: in place of code 401.

    """
    try:
        yield
    except BusinessError as error:
        if error.code != _ILLEGAL:
            raise
        raise usage_error(f"{error.message} (code {error.code})") from error


def check_key_names(*names: str) -> None:
    """Refuse what cannot be the name of a key, as wrong usage."""
    with wrong_words():
        for name in names:
            check_alias(name, "the key's name")


def key_name(type_: object, value: str) -> None:
    """Validate the name of a key."""
    check_key_names(value)


Alias = Annotated[str, Parameter(help="The key's name.", validator=key_name)]
InputName = Annotated[
    str,
    Parameter(help="The file to read; - is standard input.", allow_leading_hyphen=True, validator=no_option),
]
OutputName = Annotated[
    str | None,
    Parameter(
        name=["--output", "-o"],
        help="The file to write; - is standard output.",
        allow_leading_hyphen=True,
        validator=no_option,
    ),
]


@Parameter(name="*")
@dataclass(frozen=True)
class Destination:
    """Where a result goes."""

    output: OutputName = None
    force: Annotated[bool, Parameter(negative=(), help="Overwrite the output file if it exists.")] = False

    def open(
        self, *, private: bool = False, source: io.FileIO | None = None
    ) -> AbstractContextManager[Output]:
        """The output, by these options; `prepare_output` says what the others mean."""
        return open_output(self.output, private=private, overwrite=self.force, source=source)

    def prepare(self, *, private: bool = False, source: io.FileIO | None = None, part: bool = False) -> Way:
        """What opens the output later; what cannot be opened is refused at once."""
        return prepare_output(self.output, private=private, overwrite=self.force, source=source, part=part)

    def refuse_terminal(self, what: str, *, nature: str = "binary") -> None:
        """Refuse to print binary or secret bytes to a terminal unless `-` was asked for by name."""
        refuse_terminal(self.output, what, nature=nature)


TO_STANDARD_OUTPUT = Destination()


def check_standard_input(*names: str | None) -> None:
    """Refuse standard input as more than one file to read, whatever it is called, and other descriptors likewise."""
    given = [name for name in names if name]
    descriptors = []
    for name in given:
        with naming(name):
            descriptors.append(0 if name == STANDARD else named_descriptor(name))
    for name, descriptor in zip(given, descriptors, strict=True):
        if descriptor is not None and descriptors.count(descriptor) > 1:
            what = STANDARD_INPUT if descriptor == 0 else name
            raise usage_error(f"{what} can be one of the files only, {name} is given for more")


Json = Annotated[bool, Parameter(negative=(), help="Print one JSON document for programs.")]
Replace = Annotated[bool, Parameter(negative=(), help="Replace a key of this name.")]


@contextmanager
def naming_replace(alias: str) -> Iterator[None]:
    """Tell of `--replace` where a key of this name is in the way.

    Raises:
        CommandError: it is.

    """
    try:
        yield
    except BusinessError as error:
        if error.code != _EXISTS:
            raise
        raise CommandError(
            f"a key {alias!r} exists already", hint="--replace replaces it; what it encrypted is lost then"
        ) from error


class Level(IntEnum):
    """Storage levels; each has aliases of its own."""

    de = 0
    ce = 1
    ece = 2


@Parameter(name="*")
@dataclass(frozen=True)
class Place:
    """Where keys are looked for."""

    store: Annotated[str | None, Parameter(help="Address of the store: sqlite:///PATH")] = None
    namespace: Annotated[str | None, Parameter(help="Whose keys: each namespace of a store has its own.")] = (
        None
    )
    level: Annotated[Level | None, Parameter(help="Storage level; the keystore's default is ce.")] = None

    @asynccontextmanager
    async def open(self, *, new: bool = True) -> AsyncIterator["huks_async.Keystore"]:
        """The keystore, by these options, the environment and the defaults.

        Args:
            new: whether a store that is not there is made. If not, it is as an empty one, and nothing is made.

        Raises:
            CommandError: the namespace is none, or the store's address; or, in the block, there is no such key.

        """
        if self.namespace == "":
            # a shell makes it of a variable that is not set, and the keys there are another's
            raise usage_error("the namespace is empty", hint="name it, or leave --namespace out")
        # one command holds one session, so there are none to purge when memory is short, and uses a small part
        # of the library
        from huks_async.access.pin import PinAuthenticator

        namespace = DEFAULT_NAMESPACE if self.namespace is None else self.namespace
        missing = not new and self.is_missing()
        with wrong_words():
            check_namespace(namespace)
            choose_store(self.store)
        # What is refused from here on is no wrong usage: the environment says it.
        described = huks_async.Keystore.open(
            "memory:" if missing else self.store,
            namespace=namespace,
            authenticator=PinAuthenticator(),
            # so that one command takes the token that another one wrote
            token_keys="store",  # noqa: S106 - no password
            monitor=False,
            load_all=False,
        )
        try:
            async with described as keystore:
                yield keystore
        except BusinessError as error:
            if error.code != _NOT_FOUND:
                raise
            if missing:
                hint = (
                    f"there is no store {self.address}; check --store, or HUKS_ASYNC_HOME for the default one"
                )
            else:
                hint = (
                    f"the store is {self.address}; check the name of the key, --store, --namespace and --level; "
                    "huks keys list shows what is there"
                )
            raise CommandError(f"{error.message} (code {error.code})", hint=hint) from error

    @property
    def address(self) -> str:
        """The address of the store, also of the default one."""
        return choose_store(self.store).address

    def is_missing(self) -> bool:
        """Whether there is nothing of the store, which opening it would make."""
        from huks_async.stores import SqliteStore
        from huks_async.stores.sqlite.files import is_missing

        with wrong_words():
            store = choose_store(self.store)
        return isinstance(store, SqliteStore) and is_missing(store.path)

    @property
    def tags(self) -> Tags:
        """The tags that every call needs to find a key of this level."""
        return {} if self.level is None else {"AUTH_STORAGE_LEVEL": int(self.level)}


HERE = Place()
