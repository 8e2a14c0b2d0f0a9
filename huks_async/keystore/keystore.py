"""The keystore itself: opens its parts, and closes them."""

import os
import time
import warnings
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType

import anyio
import anyio.lowlevel

from huks_async.access.policy import Caller, Nobody, Policy
from huks_async.keys.attestation.authority import AttestationCa, Mode, SoftwareAuthority
from huks_async.keys.lifecycle import KeyMaker
from huks_async.keys.sealing import Sealer
from huks_async.keys.shelf import KeyCache, KeyShelf
from huks_async.keys.storekey import open_store_key
from huks_async.keystore.attestation import AttestationFunctions
from huks_async.keystore.kem import KemFunctions
from huks_async.keystore.legacy import LegacyFunctions
from huks_async.keystore.opening import (
    DEFAULT_NAMESPACE,
    choose_limits,
    choose_profile,
    choose_root_key,
    choose_store,
)
from huks_async.keystore.other_users import OtherUserFunctions
from huks_async.keystore.parts import Parts
from huks_async.keystore.places import FIRST_USER, Place, Places, check_namespace, check_user
from huks_async.keystore.statistics import KeystoreStatistics
from huks_async.keystore.wrapping import WrappingFunctions
from huks_async.model.errors import BusinessError
from huks_async.model.limits import Limits
from huks_async.rootkeys import RootKey
from huks_async.runtime.background import Background
from huks_async.runtime.forks import tell_after_fork
from huks_async.runtime.workers import WorkerPool
from huks_async.sessions.dispatch import Dispatcher
from huks_async.sessions.driver import SessionDriver
from huks_async.sessions.monitor import LowMemoryMonitor, trim_heap
from huks_async.sessions.pressure import Sensor, choose_sensor
from huks_async.sessions.table import SessionTable
from huks_async.stores import Store

MAX_WORKERS = 4
LOW_MEMORY = "purged on low memory"
IDLE = "timed out"
PURGED_BY_CALL = "purged as stale by the service"
_PURGE_BATCH = 500

_open_keystores: ContextVar[tuple["Keystore", ...]] = ContextVar("open_keystores", default=())


class Keystore(
    LegacyFunctions,
    WrappingFunctions,
    KemFunctions,
    AttestationFunctions,
    OtherUserFunctions,
):
    """A HUKS keystore: the documented functions as coroutines, on one store and one root key.

    Made by `Keystore.open` and used in an `async with` block (or with `aclose`). Within the block it is
    the current keystore, which the functions at module level work on.
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
        attestation_ca: AttestationCa | None = None,
        limits: Limits | None = None,
        profile: str | None = None,
        monitor: bool = True,
        sensor: Callable[[], Sensor] = choose_sensor,
        on_purge: Callable[[int], object] | None = None,
        key_cache: KeyCache | None = None,
        workers: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        debug: bool = False,
    ) -> "Keystore":
        """Describe a keystore; entering it opens it.

        Args:
            store: `sqlite:///path`, `memory:`, or a Store. Default: `keystore.db` in $HUKS_ASYNC_HOME, else
                in the user's data folder.
            root_key: what protects the store's key. Default: a file beside the store, made at first use.
            namespace: the caller, what an application is on a device; its aliases and sessions are its own.
            user_id: the user it works for, 100 or more; each user of a namespace has keys of their own.
            policy: who may use other users' and groups' keys; nobody by default. See `Policy`.
            wrapping_key: the operator's key that `wrapKeyItem` and `unwrapKeyItem` work under; without
                it they answer 801. It is opened and closed with the keystore.
            attestation_ca: the authority that certifies keys; default: one made of software, which the
                store keeps.
            limits: of sessions; default as the profile says.
            profile: `server` or `device`; default $HUKS_ASYNC_PROFILE, else `server`.
            monitor: purge stale sessions when memory is short, as long as the keystore is open.
            sensor: makes the sensor of memory pressure; chosen automatically by default.
            on_purge: called with the number of sessions whenever some were purged.
            key_cache: how many opened keys are kept ready, and for how long.
            workers: threads for work that would hold up the event loop; default: processors, at most 4.
            clock: gives seconds, monotonic.
            debug: remember where sessions were opened, and report those left open when the keystore closes.

        Raises:
            BusinessError: 401 for a wrong argument.
        """
        keystore = cls.__new__(cls)
        chosen_profile = choose_profile(profile)
        keystore._profile = chosen_profile
        keystore._limits = choose_limits(limits, chosen_profile)
        keystore._caller = Caller(check_namespace(namespace), check_user(user_id))
        keystore._wrapping_key = wrapping_key
        keystore._attestation_ca = attestation_ca
        keystore._policy = policy or Nobody()
        keystore._store = choose_store(store)
        keystore._root_key = choose_root_key(root_key, keystore._store, store)
        keystore._key_cache = key_cache or KeyCache()
        keystore._workers = workers or min(MAX_WORKERS, os.cpu_count() or 1)
        keystore._clock = clock
        keystore._debug = debug
        keystore._with_monitor = monitor
        keystore._on_purge = on_purge
        keystore._background = Background()
        keystore._monitor = LowMemoryMonitor(keystore._purge_on_low_memory, sensor, clock=clock)
        keystore._monitor.add_shrinker(keystore._shrink)
        keystore._parts = None
        return keystore

    _profile: str
    _limits: Limits
    _caller: Caller
    _policy: Policy
    _wrapping_key: RootKey | None
    _attestation_ca: AttestationCa | None
    _store: Store
    _root_key: RootKey
    _key_cache: KeyCache
    _workers: int
    _clock: Callable[[], float]
    _debug: bool
    _with_monitor: bool
    _on_purge: Callable[[int], object] | None
    _background: Background
    _monitor: LowMemoryMonitor

    @property
    def is_open(self) -> bool:
        """Whether the keystore can be used."""
        return self._parts is not None

    async def __aenter__(self) -> "Keystore":
        await self._open()
        _open_keystores.set((*_open_keystores.get(), self))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _open_keystores.set(tuple(keystore for keystore in _open_keystores.get() if keystore is not self))
        await self.aclose()

    async def _open(self) -> None:
        if self._parts is not None:
            raise BusinessError(12000012, "this keystore is open already")
        device = self._profile == "device"
        pool = WorkerPool(self._workers)
        try:
            await self._store.open()
            await self._root_key.open()
            if self._wrapping_key is not None:
                await self._wrapping_key.open()
            store_key = await open_store_key(self._store, self._root_key)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._close_store()
            raise
        sealer = Sealer(store_key)

        def open_place(namespace: str) -> Place:
            shelf = KeyShelf(self._store, sealer, namespace, self._key_cache, self._clock)
            return Place(shelf, KeyMaker(shelf, pool, device=device))

        places = Places(open_place, self._caller, self._policy, device=device)
        table = SessionTable(self._limits, self._clock, device=device, debug=self._debug)
        self._parts = Parts(
            store=self._store,
            pool=pool,
            shelf=places.own.shelf,
            maker=places.own.maker,
            table=table,
            driver=SessionDriver(table, Dispatcher(pool)),
            limits=self._limits,
            device=device,
            namespace=self._caller.namespace,
            places=places,
            wrapping_key=self._wrapping_key,
            authority=self._authority(store_key),
            now=_now,
        )
        tell_after_fork(self)
        if self._with_monitor:
            await self._background.start(self._monitor.run)

    def _authority(self, store_key: bytes) -> Callable[[Mode], Awaitable[AttestationCa]]:
        given = self._attestation_ca
        if given is None:
            return SoftwareAuthority(self._store, store_key, _now).issuer

        async def operators(mode: Mode) -> AttestationCa:
            return given

        return operators

    async def aclose(self) -> None:
        """Close the keystore: calls that are running end, open sessions are aborted, the store is closed.

        Does nothing when it is closed.
        """
        parts, self._parts = self._parts, None
        if parts is None:
            return
        self._why_closed = "it was closed"
        with anyio.CancelScope(shield=True):
            await self._background.stop()
            left = parts.table.close()
            parts.pool.close()
            parts.places.shrink()
            await self._close_store()
        for line in left:
            warnings.warn(line, ResourceWarning, stacklevel=2)

    def after_fork(self) -> None:
        """Refuse any use in a child process: threads, locks and database connections are the parent's."""
        if self._parts is not None:
            self._parts = None
            self._why_closed = "it was opened before a fork; open another one in the child process"

    async def _close_store(self) -> None:
        try:
            await self._root_key.aclose()
            if self._wrapping_key is not None:
                await self._wrapping_key.aclose()
        finally:
            await self._store.aclose()

    # --- low memory -----------------------------------------------------------------------------

    async def monitor_low_memory(self) -> None:
        """Purge stale sessions whenever memory is short, until cancelled or the keystore closes.

        For a task group of the caller's own, with `Keystore.open(monitor=False)`; a monitor that the
        keystore runs itself is ended first.
        """
        self._open_parts()
        await self._background.stop()
        await self._monitor.run()

    async def purge_stale_sessions(self) -> int:
        """End all sessions idle for longer than `Limits.stale_after`, and give memory back.

        For services with a signal of their own. Works in small batches, between which others run.

        Returns:
            how many were ended.
        """
        parts = self._open_parts()
        ended = 0
        while True:
            batch = self._purge(parts, _PURGE_BATCH, PURGED_BY_CALL)
            ended += batch
            if batch < _PURGE_BATCH:
                break
            await anyio.lowlevel.checkpoint()
        if ended:
            # freed memory stays with the C library until it is told to give it back
            await parts.pool.run(trim_heap)
        return ended

    def _purge_on_low_memory(self, at_most: int) -> int:
        return 0 if self._parts is None else self._purge(self._parts, at_most, LOW_MEMORY)

    def _purge(self, parts: Parts, at_most: int, cause: str) -> int:
        ended = parts.table.purge_stale(at_most, parts.limits.stale_after, cause)
        if ended and self._on_purge is not None:
            self._on_purge(ended)
        return ended

    def _shrink(self) -> None:
        if self._parts is not None:
            self._parts.places.shrink()

    def statistics(self) -> KeystoreStatistics:
        """Give a snapshot of counters."""
        parts = self._open_parts()
        table = parts.table
        counts = table.counts
        return KeystoreStatistics(
            open=len(table),
            busy=table.count_busy(),
            stale=table.count_stale(),
            bytes_held=table.held,
            opened=table.opened,
            finished=counts.finished,
            aborted=counts.aborted,
            failed=counts.failed,
            evicted=counts.evicted,
            purged=dict(counts.purged),
            peak_open=counts.peak_open,
            peak_bytes_held=counts.peak_bytes,
            cached_keys=len(parts.places),
            jobs=parts.pool.active,
            memory=self._monitor.statistics(),
        )


def _now() -> datetime:
    return datetime.now(UTC)


class _Default:
    """The default keystore of one event loop, opened at its first use."""

    def __init__(self) -> None:
        self.keystore = Keystore.open()
        self.lock = anyio.Lock()


_default: anyio.lowlevel.RunVar[_Default] = anyio.lowlevel.RunVar("huks_async default keystore")


async def current_keystore() -> Keystore:
    """Give the innermost open keystore of this context, else the default one of this event loop."""
    for keystore in reversed(_open_keystores.get()):
        if keystore.is_open:
            return keystore
    try:
        default = _default.get()
    except LookupError:
        default = _Default()
        _default.set(default)
    if not default.keystore.is_open:
        async with default.lock:
            if not default.keystore.is_open:
                await default.keystore._open()
    return default.keystore
