"""The lxc driver under the contract suite, and its configuration, which is a pure plan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mini_docker.drivers.execdriver.contract import ExecDriver
from mini_docker.drivers.execdriver.lxc import LxcDriver
from mini_docker.drivers.execdriver.lxc_config import lxc_config
from mini_docker.drivers.execdriver.lxc_root import ContainerFiles
from mini_docker.errors import CannotExecute, Invalid, Unsupported
from mini_docker.libcontainer.cgroups.hierarchy import find_hierarchy
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from mini_docker.libcontainer.config import ContainerSpec, Mount, Namespace, Rlimit
from mini_docker.libcontainer.users import Identity
from mini_docker.linux.linux_kernel import LinuxKernel
from tests.drivers.execdriver.contract_suite import Bench, ExecDriverContract, process, spec

ROOT = Identity(0, 0, (), "/root")


def lxc(run: Path) -> LxcDriver:
    return LxcDriver(run, CgroupManager(LinuxKernel(), find_hierarchy()))


class TestLxc(ExecDriverContract):
    @pytest.fixture
    def driver(self, tmp_path: Path) -> Iterator[ExecDriver]:
        driver = lxc(tmp_path / "run")
        yield driver
        driver.close()

    def successor(self, bench: Bench) -> ExecDriver:
        return lxc(bench.work / "run")

    def test_lxc_is_who_built_it(self, bench: Bench) -> None:
        """LXC's init is PID 1, the command its child, in namespaces of their own."""
        assert bench.run("sh", "-c", "echo $$; cat /proc/1/comm; hostname") == (0, b"2\nlxc-execute\nbox\n", b"")


def settings(config: str) -> list[tuple[str, str]]:
    return [(key, value) for key, _, value in (line.partition(" = ") for line in config.splitlines())]


def test_the_configuration_says_what_the_spec_says() -> None:
    """Each wall in LXC's word for it."""
    init = process("true", env=("A=b",), rlimits=(Rlimit("RLIMIT_NOFILE", 10, -1),), no_new_privileges=True)
    wished = spec(init, "docker/x", sysctls={"net.ipv4.ip_forward": "1"}, root_readonly=True)
    said = settings(lxc_config(wished, "/images/root", Identity(5, 6, (7, 8), "/home")))
    for pair in (
        ("lxc.rootfs.path", "dir:/images/root"), ("lxc.rootfs.options", "ro"), ("lxc.uts.name", "box"),
        ("lxc.namespace.keep", "net user cgroup"), ("lxc.init.uid", "5"), ("lxc.init.groups", "7,8"),
        ("lxc.environment", "A=b"), ("lxc.environment", "HOME=/home"), ("lxc.prlimit.nofile", "10:unlimited"),
        ("lxc.sysctl.net.ipv4.ip_forward", "1"), ("lxc.no_new_privs", "1"),
        ("lxc.cgroup.dir.container", "docker/x/payload"),
    ):  # fmt: skip
        assert pair in said
    assert "chown" in dict(said)["lxc.cap.keep"].split()
    assert "sys_admin" not in dict(said)["lxc.cap.keep"].split()


def test_no_capability_is_said_aloud() -> None:
    """To LXC an empty list would mean all of them."""
    bare = ContainerSpec(process("true", capabilities=process("x").capabilities.__class__()), (Namespace("mount"),))
    assert dict(settings(lxc_config(bare, "/r", ROOT)))["lxc.cap.keep"] == "none"


def test_spaces_in_mounts_are_escaped() -> None:
    """A line of fstab is split at spaces."""
    wished = spec(process("true"), "x", mounts=(Mount("/my data", "bind", "/host data", ("rbind", "ro")),))
    entries = [value for key, value in settings(lxc_config(wished, "/r", ROOT)) if key == "lxc.mount.entry"]
    assert entries[0] == "/host\\040data my\\040data none rbind,ro,create=dir 0 0"


def test_what_the_format_cannot_say_is_refused() -> None:
    """A line break in a value would be a line of configuration of the attacker's."""
    with pytest.raises(Invalid, match="line break"):
        lxc_config(spec(process("true", env=("A=b\nlxc.cap.keep = all",)), "x"), "/r", ROOT)
    with pytest.raises(Unsupported, match="terminal"):
        lxc_config(spec(process("true", terminal=True), "x"), "/r", ROOT)


@pytest.mark.root
def test_files_are_found_inside_the_root(tmp_path: Path) -> None:
    """Whatever links the image holds."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").symlink_to("/../../../etc/hostname")
    (tmp_path / "etc/hostname").write_text("inside")
    files = ContainerFiles(str(tmp_path))
    assert files.text("/etc/passwd") == "inside"
    assert files.text("/etc/group") == ""
    with pytest.raises(CannotExecute) as caught:
        files.check_executable(process("/etc/passwd"))
    assert caught.value.exit_code == 126
