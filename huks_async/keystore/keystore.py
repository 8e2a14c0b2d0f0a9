"""The keystore itself: opens its parts, and closes them.

Longer than other files: a third is what `Keystore.open` takes and says of it, and the rest is one thought, since each step
of opening has its counterpart in closing, in the end of the event loop, and in a fork.
"""

import os
import sys
import time
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from contextvars import ContextVar
from functools import partial
from logging import Logger, getLogger
from types import NoneType, TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import ref

import anyio
import anyio.lowlevel

from huks_async.access.callers import (
    FIRST_USER,
    Acting,
    Caller,
    check_acting,
    check_namespace,
    check_user,
    current_acting,
    watch_for_callers,
)
from huks_async.access.policy import Policy
from huks_async.keys.items.sealing import Sealer
from huks_async.keys.items.shelf import KeyCache, KeyShelf
from huks_async.keys.items.storekey import open_store_key
from huks_async.keys.lifecycle import KeyMaker
from huks_async.keystore.attestation_functions import AttestationFunctions, Authority
from huks_async.keystore.authentication_functions import AuthenticationFunctions
from huks_async.keystore.backup_functions import BackupFunctions
from huks_async.keystore.caller_functions import CallerKeystore, CallerStates
from huks_async.keystore.file_functions import FileFunctions
from huks_async.keystore.kem_functions import KemFunctions
from huks_async.keystore.keyrings import Keyring, Keyrings
from huks_async.keystore.legacy_functions import LegacyFunctions
from huks_async.keystore.loading import load_everything, not_loaded
from huks_async.keystore.low_memory_functions import PURGE_BATCH, LowMemoryFunctions
from huks_async.keystore.message_functions import MessageFunctions
from huks_async.keystore.open_arguments import (
    DEFAULT_NAMESPACE,
    check_abilities,
    check_authenticator,
    check_authority,
    check_policy,
    check_root_key,
    check_timeout,
    check_token_keys,
    check_workers,
    choose_cache,
    choose_limits,
    choose_profile,
    choose_root_key,
    choose_store,
    token_keys_for,
)
from huks_async.keystore.open_state import OpenState, view_of
from huks_async.keystore.other_user_functions import OtherUserFunctions
from huks_async.keystore.permissions import Permissions
from huks_async.keystore.provider_functions import ProviderFunctions
from huks_async.keystore.providers_on_demand import ProvidersOnDemand
from huks_async.keystore.shared_parts import Parts
from huks_async.keystore.store_vault import StoreVault
from huks_async.keystore.wrapping_functions import WrappingFunctions
from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits
from huks_async.model.settings import check_flag, check_function
from huks_async.model.showing import shown
from huks_async.model.uncopied import Uncopied
from huks_async.rootkeys import RootKey
from huks_async.runtime.background import Background, run_by_itself
from huks_async.runtime.closing import abandoned, closed_by_loop, stop_if_abandoned
from huks_async.runtime.forks import no_fork, notice_fork, tell_after_fork
from huks_async.runtime.jobs import current_home
from huks_async.runtime.outside_calls import OutsideCalls
from huks_async.runtime.owner import Owner
from huks_async.runtime.process_pool import ProcessPool
from huks_async.runtime.workers import WorkerPool
from huks_async.sessions.dispatch import Dispatcher
from huks_async.sessions.driver import SessionDriver
from huks_async.sessions.idle import end_idle_sessions
from huks_async.sessions.table import SessionTable
from huks_async.stores import Store

if TYPE_CHECKING:
    from huks_async.access.authenticator import Authenticator
    from huks_async.access.tokens import AuthTokenKeys
    from huks_async.keys.attestation import AttestationCa
    from huks_async.sessions.monitor import LowMemoryMonitor
    from huks_async.sessions.pressure import Sensor

MAX_WORKERS = 4
WORKER_NICE = 5
PROVIDER_TIMEOUT = 10.0

logger: Logger = getLogger("huks_async")

open_keystores: ContextVar[tuple["Keystore", ...]] = ContextVar("open_keystores", default=())
"""The keystores whose `async with` blocks this context is in, the innermost last."""

_part_of: ContextVar[tuple["ref[Keystore]", ...]] = ContextVar("huks_async part of keystores", default=())
"""Keystores whose end waits for what runs here: their closing, and their monitor. It must not wait for their end."""


class Keystore(
    LegacyFunctions,
    WrappingFunctions,
    KemFunctions,
    AttestationFunctions,
    OtherUserFunctions,
    ProviderFunctions,
    BackupFunctions,
    MessageFunctions,
    AuthenticationFunctions,
    FileFunctions,
    LowMemoryFunctions,
    Uncopied,
):
    """A HUKS keystore: the documented functions as coroutines, on one store and one root key.

    Made by `Keystore.open` and used in an `async with` block (or with `aclose`). Within the block it is
    the current keystore, which the functions at module level use.
    """

    def __init__(self) -> None:
        raise TypeError("use Keystore.open(…)")

    @classmethod
    def open(
        cls,
        store: str | Store | None = None,
        root_key: RootKey | None = None,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        user_id: int = FIRST_USER,
        policy: Policy | None = None,
        wrapping_key: RootKey | None = None,
        attestation_ca: "AttestationCa | None" = None,
        abilities: Mapping[str, Any] | None = None,
        provider_timeout: float = PROVIDER_TIMEOUT,
        limits: Limits | None = None,
        profile: str | None = None,
        authenticator: "Authenticator | None" = None,
        token_keys: "AuthTokenKeys | str | None" = None,
        monitor: bool = True,
        sensor: "Callable[[], Awaitable[Sensor] | Sensor] | None" = None,
        on_purge: Callable[[int], object] | None = None,
        key_cache: KeyCache | None = None,
        workers: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        debug: bool = False,
        load_all: bool = True,
    ) -> Self:
        """Describe a keystore; entering the result as an `async with` block opens it.

        Args:
            store: `sqlite:///path`, `memory:`, or a Store. Default: `keystore.db` in $HUKS_ASYNC_HOME, else
                in `huks_async` in the user's data folder ($XDG_DATA_HOME, else `~/.local/share`). Several keystores
                of one event loop may have one Store object, or one root key; the last of them to close closes it.
            root_key: what protects the store's key. Default: a file beside the database, made at first use: `root.key`
                for the default store, `DATABASE.root-key` for a store named by address.
            namespace: the name of the caller, which corresponds to an application on a device; its aliases and
                sessions are its own. Several callers share a keystore by `as_caller` and `for_caller`.
            user_id: the user it works for, 100 or more; each user of a namespace has keys of their own.
            policy: who may use other users' and groups' keys (nobody by default), and who may do what with which
                keys: a `TablePolicy`, or an object as `Policy` and `KeyPolicy` describe it.
            wrapping_key: the operator's key that `wrapKeyItem` and `unwrapKeyItem` work under; without
                it they answer 801. It is opened and closed with the keystore.
            attestation_ca: the authority that certifies keys; default: a software one, which is kept in the
                store.
            abilities: external providers by ability name (`CryptoExtensionAbility`); `registerProvider` makes them
                known to the callers of this keystore.
            provider_timeout: seconds that one call of a provider may take; a longer one raises 12000024.
            limits: the limits on sessions; default: those of the profile.
            profile: `server` or `device`; default $HUKS_ASYNC_PROFILE, else `server`.
            authenticator: checks the credentials of users, for keys that are bound to a user; e.g.
                `PinAuthenticator()`. Without one no such key can be made or used.
            token_keys: the keys that auth tokens are sealed under. None: new ones at each opening, so that tokens
                are void once the keystore is closed; "store": those of the store, the same for all processes that
                have it open on this machine until the machine restarts; `AuthTokenKeys`: those of an
                authenticator elsewhere.
            monitor: purge stale sessions when memory is short, as long as the keystore is open.
            sensor: makes the sensor of memory pressure, a new one at each call, because the keystore closes it; may
                be a coroutine function. Default: all sensors that work on this machine, combined.
            on_purge: called with the number of sessions whenever some were purged.
            key_cache: how many opened keys are kept ready, and for how long.
            workers: threads for work that would hold up the event loop, and processes for work that takes
                longer than a second; default: processors, at most 4.
            clock: gives seconds, monotonic; keystores on one store need the same one for tokens, also one after another.
            debug: remember where sessions were opened, and report those left open when the keystore closes.
            load_all: load all of this library when the keystore opens, so that a service imports nothing of it
                later, even if the library's files are replaced or removed while it runs. False, for short
                programs: each part is loaded when it is first used.

        A keystore belongs to the event loop that opens it: calls from other event loops and other threads are
        refused. It may be described before a process forks, and must then be opened in each process after the
        fork.

        Raises:
            BusinessError: 401 for a wrong argument; 12000004 if no store is given and the user has no home folder;
                12000012 if a part of this library cannot be loaded.
        """
        keystore = cls.__new__(cls)
        chosen_profile = choose_profile(profile)
        keystore._profile = chosen_profile
        keystore._limits = choose_limits(limits, chosen_profile)
        keystore._caller = Caller(check_namespace(namespace), check_user(user_id))
        keystore._wrapping_key = (
            None if wrapping_key is None else check_root_key(wrapping_key, "wrapping_key")
        )
        check_function(clock, "clock")
        keystore._permissions = Permissions(
            check_policy(policy), device=chosen_profile == "device", clock=clock
        )
        keystore._abilities = check_abilities(abilities)
        keystore._provider_timeout = check_timeout(provider_timeout)
        keystore._authenticator = check_authenticator(authenticator)
        try:
            with no_fork():  # the calls below load modules
                keystore._attestation_ca = check_authority(attestation_ca)
                keystore._token_keys = check_token_keys(token_keys)
                keystore._store = choose_store(store)
                keystore._root_key = choose_root_key(root_key, keystore._store, store)
        except (ImportError, OSError) as error:  # the module of a store or root key could not be loaded
            raise not_loaded(error) from error
        keystore._parts = Parts(keystore._store, keystore._root_key, wrapping_key)
        keystore._key_cache = choose_cache(key_cache)
        keystore._workers = check_workers(workers) or min(MAX_WORKERS, os.cpu_count() or 1)
        for function, what in ((on_purge, "on_purge"), (sensor, "sensor")):
            if function is not None:
                check_function(function, what)
        keystore._clock = clock
        keystore._debug = check_flag(debug, "debug")
        keystore._with_monitor = check_flag(monitor, "monitor")
        keystore._on_purge = on_purge
        keystore._sensor = sensor
        keystore._load_all = check_flag(load_all, "load_all")
        # What a fork would spoil is made by `aopen`, so that a keystore may be described before a fork
        # and opened after it.
        keystore._background = Background()
        keystore._idle_timer = Background()
        keystore._keeper = Background()
        keystore._monitor_scope = None
        keystore._changing = None
        keystore._closing = None
        keystore._ends_with_loop = False
        keystore._state = None
        watch_for_callers(keystore._look_for_callers)
        return keystore

    _profile: str
    _caller: Caller
    _permissions: Permissions
    _wrapping_key: RootKey | None
    _attestation_ca: "AttestationCa | None"
    _abilities: Mapping[str, Any]
    _provider_timeout: float
    _authenticator: "Authenticator | None"
    _token_keys: "AuthTokenKeys | str | None"
    _store: Store
    _root_key: RootKey
    _parts: Parts
    _key_cache: KeyCache
    _workers: int
    _debug: bool
    _with_monitor: bool
    _callers_named = False
    _forked = False
    _on_purge: Callable[[int], object] | None
    _load_all: bool
    _idle_timer: Background
    _keeper: Background
    _ends_with_loop: bool
    _changing: Owner | None  # who opens or closes it
    _closing: "tuple[Owner, anyio.Event, OpenState] | None"

    @property
    def is_open(self) -> bool:
        """Whether the keystore can be used."""
        return self._state is not None

    @property
    def was_forked(self) -> bool:
        """Whether this is a copy, in a child process, of a keystore that its parent had open."""
        return self._forked

    def close_with_loop(self) -> None:
        """Have the end of the event loop close the keystore, without a warning that nobody closed it."""
        self._ends_with_loop = True

    async def __aenter__(self) -> "Keystore":
        await self.aopen()
        open_keystores.set((*open_keystores.get(), self))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        open_keystores.set(tuple(keystore for keystore in open_keystores.get() if keystore is not self))
        await self.aclose()

    async def aopen(self) -> None:
        """Open the keystore, without making it the current one. `aclose` closes it, else the event loop's end.

        A keystore that was closed can be opened again, also in another event loop.

        Raises:
            BusinessError: 12000012 when it is open already, was opened before a fork, a part of this library cannot
                be loaded, or the root key is not that of the store; 12000004 when the store cannot be opened;
                12000014 when the system gives no memory or no thread; 12000020 to 12000023 when a token that holds
                a root key failed, or refused the PIN; 401 when the path of the store or of a root key file leads to the
                name of a file that belongs to another store, or has no room for the files beside it.
        """
        stop_if_abandoned()
        notice_fork()
        if self._forked:
            raise BusinessError(12000012, f"this keystore cannot be opened: {self._why_closed}")
        await self._close_for_ended_loop()
        if self._state is not None or self._changing is not None:
            how = "open already" if self._state is not None else "being opened or closed by another task"
            raise BusinessError(12000012, f"this keystore is {how}")
        changing, parts = Owner(), self._parts
        self._changing = changing
        tell_after_fork(self)
        try:
            if self._load_all:
                await load_everything()
            monitor = self._make_monitor()
            try:
                await parts.open()
                store_key = await open_store_key(self._store, self._root_key)
                try:
                    with no_fork():  # the call loads modules
                        state = self._make_state(store_key)
                except (ImportError, OSError) as error:
                    raise not_loaded(error) from error
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await parts.aclose()
                raise
        finally:
            self._changed(changing)
        # Nothing below awaits, so a cancellation cannot leave this half done.
        self._state = self._direct = state
        if self._callers_named:  # read last, because another thread may set it meanwhile
            self._direct = None
        self._monitor = monitor
        self._keeper.start(self._close_with_loop)
        if self._with_monitor:
            self._background.start(partial(_run_monitor, ref(self), monitor))
        if self._limits.max_idle is not None:
            self._idle_timer.start(partial(end_idle_sessions, state.table, self._limits.max_idle))

    async def _close_with_loop(self) -> None:
        """Forget old keys until the event loop ends, which cancels what is left in the background, and close."""
        # Looked up before it is needed: if the garbage collector ends this task after its event loop has gone, no
        # running loop can tell which exception means cancellation.
        cancelled = anyio.get_cancelled_exc_class()
        try:
            await self._callers.forget_old_keys(self._key_cache.seconds)
        except cancelled:
            # if it is None, `aclose` has closed the keystore and cancels this task
            if self._state is not None:
                self._keeper.forget()
                await self._close(
                    "its background task was cancelled, by the end of the event loop that had opened it or by code "
                    "that cancels all tasks; open it again (aopen)"
                )
                if not self._ends_with_loop:
                    self._warn(
                        "was not closed before its background task was cancelled, by the end of its event loop or by "
                        "code that cancels all tasks: use `async with`, or `aclose`"
                    )
            raise

    async def _close_for_ended_loop(self) -> bool:
        """Close what was left open, or half opened or closed, by an event loop that ended without cancelling its tasks.

        Returns:
            whether there was anything.
        """
        state, changing = self._state, self._changing
        if changing is not None and changing.has_ended():
            state = None if self._closing is None else self._closing[2]
            self._parts = self._parts.taken_over()
            self._closing = None
        elif state is None or not state.owner.has_ended():
            return False
        for background in (self._background, self._idle_timer, self._keeper):
            background.forget()
        # Whatever the garbage collector ends of that loop's tasks later finds nothing of what is opened after this.
        self._background, self._idle_timer, self._keeper = Background(), Background(), Background()
        self._monitor_scope = None
        if state is None:  # it was being opened
            changing = self._changing = Owner()
            try:
                with anyio.CancelScope(shield=True):
                    await self._parts.aclose()
            finally:
                self._changed(changing)
            return True
        state.processes.forget()
        state.outside.forget()
        # Nothing awaits before the state is taken, so that no other task finds it and closes what this one opens next.
        self._state = state
        await self._close(
            "the event loop that had opened it has ended; open it again (aopen)", self._monitor.abandon
        )
        return True

    def _changed(self, by: Owner) -> None:
        """Note that an opening or closing has ended, unless another event loop has taken it over."""
        if self._changing is by:
            self._changing = self._closing = None

    def _make_state(self, store_key: bytes) -> OpenState:
        device = self._profile == "device"
        pool = WorkerPool(self._workers, nice=WORKER_NICE, owner="the keystore")
        processes = ProcessPool(self._workers, "the keystore")
        outside = OutsideCalls()
        sealer = Sealer(store_key)

        # late: programs that only import names of this library make and judge no tokens
        from huks_async.access.control import AccessControl
        from huks_async.access.voidings import voidings_of

        access = AccessControl(
            self._authenticator,
            token_keys_for(self._token_keys, store_key),
            others_make_tokens=not isinstance(self._token_keys, (str, NoneType)),
            vault=StoreVault(self._store, sealer),
            voidings=voidings_of(store_key),
            stamp=self._store.stamp,
            run=pool.run,
            clock=self._clock,
            outside=outside,
        )

        def open_keyring(namespace: str, user_id: int) -> Keyring:
            shelf = KeyShelf(self._store, sealer, namespace, self._key_cache, self._clock)
            maker = KeyMaker(shelf, pool, processes, access, user_id, device=device)
            return Keyring(shelf, maker, user_id)

        caller = self._caller
        keyrings = Keyrings(open_keyring, caller, caller.namespace, self._permissions)
        table = SessionTable(
            self._limits,
            self._clock,
            device=device,
            debug=self._debug,
            on_purge=self._on_purge,
            post=current_home(None).post,
        )
        owner = Owner()
        dispatcher = Dispatcher(pool, processes, owner)
        state = OpenState(
            owner=owner,
            thread=owner.thread,
            store=self._store,
            pool=pool,
            table=table,
            driver=SessionDriver(table, dispatcher),
            dispatcher=dispatcher,
            processes=processes,
            limits=self._limits,
            device=device,
            wrapping_key=self._wrapping_key,
            outside=outside,
            providers_on_demand=ProvidersOnDemand(self._abilities, self._provider_timeout),
            authority=Authority(self._attestation_ca, self._store, store_key).issuer,
            access=access,
            **view_of(keyrings),
        )
        self._callers = CallerStates(state, open_keyring)
        return state

    async def aclose(self) -> None:
        """Close the keystore: open sessions are aborted, calls that are running end, the store is closed.

        Calls in worker threads run to their end; those in processes, and those that wait for an authenticator, a root
        key or a wrapping key, raise 12000012.

        Does nothing if the keystore is closed; waits for its end if another task is closing it. Closes it also when
        cancelled. In a task that the garbage collector ends, where nothing may wait, the event loop closes it soon.

        Raises:
            BusinessError: 12000012 in another event loop than the one that opened it, while that one lives.
        """
        if abandoned():
            self._do_soon(self.aclose)
            return
        if await self._close_for_ended_loop():
            return
        if self._state is None:
            await self._until_closed()
        else:
            self._state.owner.check("this keystore")
            await self._close("it was closed")

    async def _close(self, why: str, first: Callable[[], Awaitable[None]] | None = None) -> None:
        state, self._state = self._state, None
        self._direct = None
        if state is None:
            await self._until_closed()
            return
        self._why_closed = why
        left = state.table.close()
        state.pool.close()
        state.processes.close()
        state.outside.close()
        self._callers.shrink()
        changing, closing = Owner(), anyio.Event()
        self._changing, self._closing = changing, (changing, closing, state)
        outer = _part_of.get()
        _part_of.set((*outer, ref(self)))
        try:
            # Task.cancel() also cancels what is shielded, so each step must run even if the one before it failed.
            with anyio.CancelScope(shield=True):
                async with AsyncExitStack() as steps:  # the last one pushed is the first to run
                    steps.push_async_callback(self._parts.aclose)
                    steps.push_async_callback(state.processes.ended)
                    steps.push_async_callback(self._idle_timer.stop)
                    steps.callback(self._monitor.close)  # its sensor may be who closes the keystore
                    steps.push_async_callback(self._background.stop)
                    steps.push_async_callback(state.providers_on_demand.aclose)
                    steps.push_async_callback(self._keeper.stop)
                    if self._monitor_scope is not None:
                        steps.callback(self._monitor_scope.cancel)
                        self._monitor_scope = None
                    if first is not None:
                        steps.push_async_callback(first)
                while state.table.release(PURGE_BATCH):
                    await anyio.lowlevel.checkpoint()
        finally:
            self._changed(changing)
            closing.set()
            _part_of.set(outer)
            for line in left:
                warnings.warn(line, ResourceWarning, stacklevel=2)

    async def _until_closed(self) -> None:
        """Wait until another task of this event loop has closed the keystore, if one is at it."""
        if self._closing is not None and ref(self) not in _part_of.get():
            owner, closed, _ = self._closing
            if not owner.is_elsewhere():
                await closed.wait()

    def after_fork(self) -> None:
        """Refuse any use in a child process: threads, locks and database connections are the parent's."""
        if self._state is not None or self._changing:
            self._state = self._direct = None
            self._background.forget()
            self._idle_timer.forget()
            self._keeper.forget()
            self._closing = None
            self._parts.forget()
            self._forked = True
            self._why_closed = (
                "it was opened before this process was forked, and its threads and locks stayed in the parent; "
                "open a keystore after the fork only, or start processes by spawn or forkserver "
                "(multiprocessing.set_start_method)"
            )

    def __repr__(self) -> str:
        if self._forked:
            state = "opened before a fork"
        elif self._changing:
            state = "opening or closing"
        else:
            state = "closed" if self._state is None else "open"
        caller = self._caller
        user = "" if caller.user_id == FIRST_USER else f", user {caller.user_id}"
        return f"<Keystore {shown(self._store.address)}, namespace {shown(caller.namespace)}{user}: {state}>"

    def __del__(self) -> None:
        state = self._state
        if state is not None:
            state.pool.close()  # first, because a warning may be an error
            self._monitor.let_go()
            if not self._ends_with_loop:
                self._warn("was never closed: use `async with`, or `aclose`")

    def _warn(self, what: str) -> None:
        warnings.warn(f"{self!r} {what}", ResourceWarning, stacklevel=3, source=self)

    # --- callers --------------------------------------------------------------------------------

    def for_caller(
        self, name: str, user_id: int | None = None, *, namespace: str | None = None
    ) -> CallerKeystore:
        """Give the documented functions on this keystore for one caller, wherever they are called.

        An extension of the documented surface; `as_caller` does the same for a block. Arguments and errors are
        those of `as_caller`.
        """
        return CallerKeystore(self._state_of, self._do_soon, check_acting(name, user_id, namespace))

    def _look_for_callers(self) -> None:
        """From now on, look up the caller of each call; so far there was only one."""
        self._callers_named = True
        self._direct = None

    def _open_state(self) -> OpenState:
        if sys.exception() is not None:
            self._check_context()
        return self._state_of(current_acting())

    def _check_context(self) -> None:
        """Refuse a call in a context that may be another caller's: that of the code which a closed coroutine interrupts."""
        named = current_acting() is not None or (self._state is not None and self._callers.has_others)
        if named and (abandoned() or closed_by_loop()):
            raise BusinessError(
                12000012,
                "whose call this is cannot be told: the task or generator that makes it was abandoned, or is closed in a "
                "task of its own, which may have another caller's context; use for_caller there, or close the generator "
                "in the task that has it (contextlib.aclosing)",
            )

    def _state_of(self, acting: Acting | None) -> OpenState:
        state = super()._open_state()
        return state if acting is None else self._callers.of(acting)

    def _pinned(self) -> CallerKeystore:
        self._check_context()
        return CallerKeystore(self._state_of, self._do_soon, current_acting())

    def _do_soon(self, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        state = self._state
        if state is not None:
            state.table.post(partial(self._begin, state, call))

    def _begin(self, state: OpenState, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._state is state:
            run_by_itself(call)


async def _run_monitor(keystore: "ref[Keystore]", monitor: "LowMemoryMonitor") -> None:
    """Run a keystore's monitor without keeping the keystore alive.

    anyio never forgets a task that was in a cancel scope when its event loop was closed, and sensors wait in such scopes.
    """
    _part_of.set((*_part_of.get(), keystore))
    await monitor.run()
