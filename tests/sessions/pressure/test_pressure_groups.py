"""Where the own control group is: namespaces, mounts, and files without sense."""

import pytest

from huks_async.sessions.pressure.base import SensorUnavailable
from huks_async.sessions.pressure.cgroup import GroupLimitSensor
from huks_async.sessions.pressure.locate import find_v1_memory, find_v2

MIB = 1 << 20


def test_group_on_a_whole_mount(machine) -> None:
    """Without namespaces the mount shows the whole tree."""
    machine.v2("/system.slice/app.service")
    machine.v2_group("sys/fs/cgroup/system.slice/app.service")
    found = find_v2(machine.root)
    top = machine.root / "sys/fs/cgroup"
    assert found.chain() == [top / "system.slice/app.service", top / "system.slice", top]


def test_group_in_a_namespace(machine) -> None:
    """In a namespace of its own the container's group is the root of what it sees."""
    machine.v2("/")
    machine.v2_group("sys/fs/cgroup", limit=100 * MIB)
    assert find_v2(machine.root).chain() == [machine.root / "sys/fs/cgroup"]


def test_group_nested_in_a_namespace(machine) -> None:
    """A service within a container has the limits of both."""
    machine.v2("/inner/deep")
    machine.v2_group("sys/fs/cgroup/inner/deep", current=10 * MIB)
    machine.v2_group("sys/fs/cgroup/inner", current=95 * MIB, limit=100 * MIB)
    machine.v2_group("sys/fs/cgroup", current=96 * MIB, limit=2000 * MIB)
    sensor = GroupLimitSensor(machine.root)
    assert sensor.read() == 0.95
    sensor.close()


def test_group_with_the_host_s_path_and_its_own_mount(machine) -> None:
    """A container that shares the namespace sees its group mounted at the top."""
    machine.v1("/docker/abc", mount_root="/docker/abc")
    machine.v1_group("sys/fs/cgroup/memory", usage=1, limit=100 * MIB)
    assert find_v1_memory(machine.root).folder == machine.root / "sys/fs/cgroup/memory"


def test_group_with_the_host_s_path_but_not_its_folders(machine) -> None:
    """Where the path of the host leads nowhere the nearest folder above stands in."""
    machine.v1("/docker/abc")
    machine.v1_group("sys/fs/cgroup/memory", usage=1, limit=100 * MIB)
    assert find_v1_memory(machine.root).folder == machine.root / "sys/fs/cgroup/memory"


def test_mount_point_with_a_space(machine) -> None:
    """The mount table writes spaces in octal."""
    machine.v2("/app", point="/my\\040groups")
    machine.v2_group("my groups/app")
    assert find_v2(machine.root).folder == machine.root / "my groups/app"


@pytest.mark.parametrize(
    ("path", "root"),
    [("/../other", "/"), ("/app", "/docker/abc"), ("/app (deleted)", "/"), ("/", "/../..")],
    ids=["beside the namespace", "not below the mount", "removed", "mounted from outside"],
)
def test_group_that_is_not_visible(machine, path: str, root: str) -> None:
    """A group that cannot be seen is said so, and no other is taken for it."""
    machine.v2(path, mount_root=root)
    machine.v2_group("sys/fs/cgroup/app")
    with pytest.raises(SensorUnavailable):
        find_v2(machine.root)


@pytest.mark.parametrize("content", ["", "0::", "garbage", "\x00\xff", "0::relative\n", ":::::"])
def test_garbage_in_the_group_file(machine, content: str) -> None:
    """Garbage among the own groups is no group."""
    machine.v2()
    machine.write("proc/self/cgroup", content)
    with pytest.raises(SensorUnavailable, match="in no group"):
        find_v2(machine.root)


@pytest.mark.parametrize("content", [b"", b"1 2 3", b"a b c d e - f", b"\xff\xfe - \n", b" - cgroup2 x y"])
def test_garbage_in_the_mount_table(machine, content: bytes) -> None:
    """Garbage among the mounts is no mount."""
    machine.v2()
    machine.write("proc/self/mountinfo", content)
    with pytest.raises(SensorUnavailable, match="not mounted"):
        find_v2(machine.root)


def test_no_proc(tmp_path) -> None:
    """A system without /proc says which file is missing."""
    with pytest.raises(SensorUnavailable, match="proc/self/cgroup"):
        find_v2(tmp_path)
