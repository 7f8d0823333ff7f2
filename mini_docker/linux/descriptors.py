"""Receiving descriptors over a unix socket, close-on-exec from the first moment.

`socket.recv_fds` of the standard library drops its flags argument, so that what it receives would
leak into the next program that is executed (seen with Python 3.11).
Source: unix(7), SCM_RIGHTS; recv(2), MSG_CMSG_CLOEXEC.
"""

from __future__ import annotations

import array
import errno
import os
import socket


def receive(channel: socket.socket, size: int, most: int) -> tuple[bytes, list[int]]:
    """At most *size* bytes and *most* descriptors, which are the caller's from now on.

    Raises:
        OSError: as recvmsg(2); EMFILE when this process has no room for all descriptors that came.
    """
    numbers = array.array("i")
    room = socket.CMSG_LEN(most * numbers.itemsize)
    data, ancillary, flags, _ = channel.recvmsg(size, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
    if flags & socket.MSG_CTRUNC:
        for descriptor in numbers:
            os.close(descriptor)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return data, list(numbers)
