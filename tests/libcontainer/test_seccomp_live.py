"""The kernel takes our program and answers as the profile says."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

# The child filters itself; no_new_privs lets it do so without root.
CHILD = """
import ctypes, errno, json, os, platform, socket, threading
from mini_docker.libcontainer.capabilities import DEFAULT_CAPABILITIES
from mini_docker.libcontainer.seccomp.compiler import compile_profile
from mini_docker.libcontainer.seccomp.profile import default_profile
from mini_docker.libcontainer.seccomp.syscall_table import syscall_numbers
from mini_docker.linux.constants import PR_SET_NO_NEW_PRIVS
from mini_docker.linux.linux_kernel import LinuxKernel

kernel = LinuxKernel()
program = compile_profile(default_profile(), DEFAULT_CAPABILITIES, platform.machine(), (6, 1))
kernel.prctl(PR_SET_NO_NEW_PRIVS, 1)
kernel.seccomp(program)
libc = ctypes.CDLL(None, use_errno=True)
numbers = syscall_numbers(platform.machine())

def call(name, *args):
    result = libc.syscall(ctypes.c_long(numbers[name]), *map(ctypes.c_ulong, args))
    return "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()]

threading.Thread(target=lambda: None).start()
print(json.dumps({
    "getpid": call("getpid"),
    "clone3": call("clone3", 0, 0),
    "unshare": call("unshare", 0),
    "keyctl": call("keyctl", 0, 0),
    "personality": call("personality", 0xFFFFFFFF),
    "bad personality": call("personality", 0x40000),
    "af_vsock": call("socket", 40, 1, 0),
    "af_unix": call("socket", 1, 1, 0),
    "mode": [line.split()[1] for line in open("/proc/self/status") if line.startswith("Seccomp:")][0],
}))
"""


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "aarch64"), reason="seccomp profiles are compiled for x86_64 and aarch64"
)
def test_a_filtered_process_sees_what_the_profile_says() -> None:
    """Not even unshare(0), which changes nothing and which anyone may call, gets past the filter; threads start."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD],
        capture_output=True, text=True, timeout=30, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    assert json.loads(child.stdout) == {
        "getpid": "ok",
        "clone3": "ENOSYS",
        "unshare": "EPERM",
        "keyctl": "EPERM",
        "personality": "ok",
        "bad personality": "EPERM",
        "af_vsock": "EPERM",
        "af_unix": "ok",
        "mode": "2",
    }
