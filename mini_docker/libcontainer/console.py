"""The terminal of a container: opened on the container's *own* devpts, its master sent out.

Opened on the host's devpts instead, `tty` inside would print "not a tty": the name would mean
nothing there. It knows pseudo-terminals, not what runs on them.
Source: pts(4), ioctl_tty(2).
"""

from __future__ import annotations

import os
import struct

from mini_docker.linux import constants as c
from mini_docker.linux.kernel import Kernel

_TIOCSPTLCK = 0x40045431
_TIOCGPTN = 0x80045430
_TIOCGPTPEER = 0x5441
_TIOCSCTTY = 0x540E
_TIOCSWINSZ = 0x5414


def open_terminal(kernel: Kernel) -> tuple[int, int, str]:
    """A new terminal: (master, slave, path of the slave). Called inside the container.

    Raises:
        OSError: there is no /dev/ptmx here.
    """
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    kernel.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    (number,) = struct.unpack("i", kernel.ioctl(master, _TIOCGPTN, struct.pack("i", 0)))
    path = f"/dev/pts/{number}"
    slave = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    return master, slave, path


def bind_console(kernel: Kernel, slave_path: str) -> None:
    """Show the terminal as /dev/console, too: what a program opens that wants *the* console."""
    console = "/dev/console"
    os.close(os.open(console, os.O_CREAT | os.O_CLOEXEC, 0o620))
    tree = kernel.open_tree(c.AT_FDCWD, slave_path, c.OPEN_TREE_CLONE)
    kernel.move_mount(tree, c.AT_FDCWD, console)
    os.close(tree)


def take_terminal(kernel: Kernel, slave: int, uid: int) -> None:
    """Make the slave this session's controlling terminal and the process's three streams.

    The caller leads a session of its own. The terminal becomes the user's, so that programs may
    open /dev/tty by name.
    """
    kernel.ioctl(slave, _TIOCSCTTY, 0)
    if uid:
        os.fchown(slave, uid, -1)
    for descriptor in (0, 1, 2):
        os.dup2(slave, descriptor)


def set_size(kernel: Kernel, terminal: int, rows: int, columns: int) -> None:
    """Tell the terminal its size; the foreground job gets SIGWINCH."""
    kernel.ioctl(terminal, _TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
