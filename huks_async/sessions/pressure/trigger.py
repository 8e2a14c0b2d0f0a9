"""Waiting for a kernel event on a descriptor, on the event loop and without a thread."""

import os
import select
from abc import ABC, abstractmethod

import anyio

from huks_async.sessions.pressure.base import SensorBroken, SensorUnavailable


class Trigger(ABC):
    """Something that fires when memory is short."""

    @abstractmethod
    async def wait(self) -> None:
        """Return when it fires, or at once if it has fired. Raises SensorBroken."""

    @abstractmethod
    def drain(self) -> bool:
        """Whether it has fired since it was last asked. Raises SensorBroken."""

    @abstractmethod
    def close(self) -> None:
        """Stop watching. The watched descriptor stays open."""


class PriorityTrigger(Trigger):
    """Fires on EPOLLPRI, which event loops cannot wait for.

    A pressure descriptor is always readable, so the loop cannot wait for it directly. It waits for an epoll
    descriptor of this object instead, which becomes readable when the priority event is there.
    """

    def __init__(self, fd: int, what: str) -> None:
        self._what = what
        if not hasattr(select, "epoll"):
            raise SensorUnavailable("this system has no epoll")
        try:
            self._epoll = select.epoll()
        except OSError as error:  # the process, or its user, has no more of them
            raise SensorUnavailable(f"{what} cannot be waited for: {error.strerror}") from error
        try:
            self._epoll.register(fd, select.EPOLLPRI)
        except OSError as error:
            self._epoll.close()
            raise SensorUnavailable(f"{what} cannot be waited for: {error.strerror}") from error

    async def wait(self) -> None:
        """Return when the event is there."""
        if not self.drain():
            await _readable(self._epoll, self._what)
            # The loop's own poll of this epoll has consumed the event already, so drain() may return False
            # although it has fired. It is called only to raise errors.
            self.drain()

    def drain(self) -> bool:
        """Consume the event."""
        fired = False
        try:
            events = self._epoll.poll(0)
        except OSError as error:
            raise SensorBroken(f"{self._what}: {error.strerror}") from error
        for _, mask in events:
            if mask & (select.EPOLLERR | select.EPOLLHUP):
                raise SensorBroken(f"{self._what} is gone")
            fired = True
        return fired

    def close(self) -> None:
        """Close our epoll."""
        self._epoll.close()


class StreamTrigger(Trigger):
    """Fires when bytes arrive on a fifo, a socket or an eventfd; the bytes have no meaning."""

    def __init__(self, fd: int, what: str) -> None:
        self._fd = fd
        self._what = what
        os.set_blocking(fd, False)

    async def wait(self) -> None:
        """Return when bytes are there."""
        while not self.drain():
            await _readable(self._fd, self._what)

    def drain(self) -> bool:
        """Read and discard the bytes."""
        fired = False
        while True:
            try:
                data = os.read(self._fd, 4096)
            except BlockingIOError:
                return fired
            except OSError as error:
                raise SensorBroken(f"{self._what}: {error.strerror}") from error
            if not data:
                raise SensorBroken(f"{self._what} was closed by the other side")
            fired = True

    def close(self) -> None:
        """Nothing of ours to close."""


async def _readable(fd: "int | select.epoll", what: str) -> None:
    """Wait until a descriptor is readable. Raises SensorBroken if the event loop's system gives no such wait."""
    try:
        await anyio.wait_readable(fd)
    except OSError as error:
        # the user may have no more descriptors watched (fs.epoll.max_user_watches), or memory is short
        raise SensorBroken(f"{what} cannot be waited for: {error.strerror}") from error
