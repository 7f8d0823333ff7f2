"""The terminal's other end: handed to an engine over its console socket, or held in the foreground by ourselves.

It knows descriptors and signals; whose process it serves is the caller's to know.
Source: runc's docs on terminals (the console socket's protocol); termios(3), ioctl_tty(2).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Iterator

from mini_docker.errors import MiniDockerError

_CHUNK = 1 << 16
_KEPT_SIGNALS = (signal.SIGCHLD, signal.SIGURG, signal.SIGPIPE, signal.SIGKILL, signal.SIGSTOP, signal.SIGWINCH)


def send_master(console_socket: str, master: int) -> None:
    """Send the terminal's master to whoever listens at the console socket.

    Raises:
        MiniDockerError: nobody does.
    """
    try:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(console_socket)
            socket.send_fds(channel, [b"/dev/ptmx"], [master])
    except OSError as error:
        raise MiniDockerError(f"console socket {console_socket}: {error.strerror}") from None


def attend_process(pidfd: int, master: int = -1) -> int:
    """Serve a child of ours until its end: pass signals and, with a terminal, bytes.

    Args:
        master: its terminal's; -1 when it writes to our own streams.

    Returns:
        its exit code; 128 plus the signal's number when one ended it.
    """
    with _signals() as signals, _raw_input(master):
        poll = select.poll()
        for descriptor in (pidfd, signals, *((0, master) if master >= 0 else ())):
            poll.register(descriptor, select.POLLIN)
        if master >= 0:
            _copy_size(master)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == pidfd:
                    while master >= 0 and _copy(master, 1):
                        pass
                    return _exit_code(pidfd)
                if descriptor == signals:
                    for number in os.read(signals, 64):
                        if number == signal.SIGWINCH:
                            _copy_size(master)
                        else:
                            signal.pidfd_send_signal(pidfd, number)
                elif not _copy(descriptor, 1 if descriptor == master else master):
                    poll.unregister(descriptor)


def _exit_code(pidfd: int) -> int:
    result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    assert result is not None
    return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status


def _copy(source: int, target: int) -> bool:
    """Move what is there; False at the end. A terminal without a holder answers EIO."""
    try:
        data = os.read(source, _CHUNK)
        while data:
            data_left = data[os.write(target, data) :]
            if not data_left:
                return True
            data = data_left
    except OSError:
        pass
    return False


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """Every signal that may be passed on, as bytes to read from the descriptor."""
    readable, writable = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    before = signal.set_wakeup_fd(writable)
    handlers = {}
    for number in signal.valid_signals():
        if number not in _KEPT_SIGNALS or number == signal.SIGWINCH:
            with contextlib.suppress(OSError, ValueError):  # the C library keeps two for itself
                handlers[number] = signal.signal(number, lambda number, frame: None)
    try:
        yield readable
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(before)
        os.close(readable)
        os.close(writable)


@contextlib.contextmanager
def _raw_input(master: int) -> Iterator[None]:
    """Our own terminal passes every key on, unless there is nothing to pass it to."""
    if master < 0 or not os.isatty(0):
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSANOW)  # what was typed ahead is for the command, too
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def _copy_size(master: int) -> None:
    if master >= 0 and os.isatty(0):
        import termios

        termios.tcsetwinsize(master, termios.tcgetwinsize(0))
