"""A plan for a cgroup is a list of writes: each a line that an administrator could have typed.

The value, and how control files are read. It knows nothing of where the cgroups are mounted.
"""

from __future__ import annotations

import errno

from mini_docker.dataclasses import dataclass
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel

GONE = (errno.ENOENT, errno.ENODEV)
"""There is no such cgroup; ENODEV: not any more, while its file was open."""


@dataclass(frozen=True, slots=True)
class CgroupWrite:
    """One value for one control file.

    Attributes:
        file: its name in the cgroup's directory, such as ``memory.max``.
        value: the text to write.
        optional: a kernel without the file, or without its function, is no error but a warning.
    """

    file: str
    value: str
    optional: bool = False

    @property
    def controller(self) -> str:
        """The controller that the file belongs to: the name's first word, on v1 and v2 alike."""
        return self.file.partition(".")[0]


def flat(text: str) -> dict[str, int]:
    """A "flat keyed" control file: lines of a key and a number."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def read_or_empty(kernel: Kernel, file: str) -> str:
    """The text of a control file; empty where this kernel or this cgroup has none.

    Raises:
        SyscallError: it is there and cannot be read.
    """
    try:
        return kernel.read_file(file)
    except SyscallError as error:
        if error.errno in (*GONE, errno.EOPNOTSUPP):
            return ""
        raise
