"""Pax records: the margin notes of a tar header, for what its fixed columns cannot hold.

A record is ``LENGTH KEY=VALUE\\n``, where LENGTH counts itself. It knows nothing of what the keys mean.

Source: pax(1) of POSIX.1-2008, "pax Extended Header".
"""

from __future__ import annotations

from collections.abc import Iterable

from mini_docker.errors import Invalid


def decode_records(data: bytes) -> list[tuple[str, bytes]]:
    """The records in order; a key may come more than once.

    Raises:
        Invalid: a record is not of that form.
    """
    records: list[tuple[str, bytes]] = []
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        digits = data[at:space] if space > at else b""
        length = int(digits) if digits.isdigit() else 0
        record = data[space + 1 : at + length]
        key, equals, value = record.partition(b"=")
        if length <= len(digits) + 1 or at + length > len(data) or not equals or not value.endswith(b"\n"):
            raise Invalid("a pax record of the archive is malformed")
        records.append((key.decode(errors="surrogateescape"), value[:-1]))
        at += length
    return records


def encode_records(records: Iterable[tuple[str, bytes]]) -> bytes:
    """The inverse of `decode_records`."""
    return b"".join(_encode_record(key.encode(errors="surrogateescape"), value) for key, value in records)


def _encode_record(key: bytes, value: bytes) -> bytes:
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    # The length's own digits may add a digit: 98 + 2 = 100.
    if rest + len(str(length)) != length:
        length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def decode_time(value: bytes) -> int:
    """Decimal seconds as nanoseconds.

    Raises:
        ValueError: it is not a decimal number.
    """
    sign = -1 if value.startswith(b"-") else 1
    seconds, _, fraction = value.lstrip(b"-").partition(b".")
    if not seconds.isdigit() or (fraction and not fraction.isdigit()):
        raise ValueError(value)
    return sign * (int(seconds) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0")))


def encode_time(time_ns: int) -> bytes:
    """The inverse of `decode_time`."""
    seconds, fraction = divmod(abs(time_ns), 1_000_000_000)
    text = f"{'-' if time_ns < 0 else ''}{seconds}.{fraction:09d}".rstrip("0").rstrip(".")
    return text.encode()
