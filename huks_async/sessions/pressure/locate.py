"""Where the process's own control groups are mounted: /proc/self/cgroup against /proc/self/mountinfo."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from huks_async.sessions.pressure.base import SensorUnavailable


@dataclass(frozen=True, slots=True)
class GroupFolder:
    """The folder of the process's group, and the topmost folder that is visible."""

    folder: Path
    top: Path

    def chain(self) -> list[Path]:
        """The group's folder and those above it, up to the mount point: a limit of any of them applies."""
        folders = [self.folder]
        while folders[-1] != self.top:
            folders.append(folders[-1].parent)
        return folders


@dataclass(frozen=True, slots=True)
class _Mount:
    kind: str
    root: str
    point: str
    controllers: frozenset[str]


def find_v2(root: Path = Path("/")) -> GroupFolder:
    """The process's group in the unified hierarchy. Raises SensorUnavailable."""
    return _find(root, "cgroup2", None)


def find_v1_memory(root: Path = Path("/")) -> GroupFolder:
    """The process's group under the old memory controller. Raises SensorUnavailable."""
    return _find(root, "cgroup", "memory")


def _find(root: Path, kind: str, controller: str | None) -> GroupFolder:
    what = f"{controller} controller" if controller else "unified hierarchy"
    path = _own_path(_text(root / "proc/self/cgroup"), controller)
    if path is None:
        raise SensorUnavailable(f"the process is in no group of the {what}")
    mounts = [
        mount
        for mount in _mounts(_text(root / "proc/self/mountinfo"))
        if mount.kind == kind and (controller is None or controller in mount.controllers)
    ]
    if not mounts:
        raise SensorUnavailable(f"the {what} is not mounted")
    # the mount with the shortest root shows the most groups above the process's own, so it is tried first
    for mount in sorted(mounts, key=lambda mount: len(mount.root)):
        below = _below(path, mount.root)
        if below is None:
            continue
        top = root / mount.point.lstrip("/")
        folder = top.joinpath(*below)
        # a container without a cgroup namespace of its own sees the host's path, but not the folders on it
        while folder != top and not os.path.isdir(folder):
            folder = folder.parent
        if os.path.isdir(folder):
            return GroupFolder(folder, top)
    raise SensorUnavailable(f"the own group {path} of the {what} is not visible here")


def _text(path: Path) -> str:
    try:
        # file names may be any bytes
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise SensorUnavailable(f"{path}: {error.strerror}") from error


def _own_path(text: str, controller: str | None) -> str | None:
    for line in text.splitlines():
        number, first, rest = line.partition(":")
        controllers, second, path = rest.partition(":")
        if not (first and second and path.startswith("/")):
            continue
        if (
            (number == "0" and not controllers)
            if controller is None
            else controller in controllers.split(",")
        ):
            # the kernel marks a group that was removed under its processes
            return None if path.endswith(" (deleted)") else path
    return None


def _mounts(text: str) -> list[_Mount]:
    found = []
    for line in text.splitlines():
        before, mark, after = line.partition(" - ")
        left, right = before.split(" "), after.split(" ")
        if mark and len(left) >= 5 and len(right) >= 3:
            found.append(
                _Mount(right[0], _unescape(left[3]), _unescape(left[4]), frozenset(right[2].split(",")))
            )
    return found


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _below(path: str, root: str) -> list[str] | None:
    """The path from a mount's root down to the group; None if the group is not under that root."""
    parts = [part for part in path.split("/") if part]
    top = [part for part in root.split("/") if part]
    if ".." in parts or ".." in top or parts[: len(top)] != top:
        return None
    return parts[len(top) :]
