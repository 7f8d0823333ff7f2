"""Times as Docker writes them: RFC 3339 with nanoseconds, in UTC. A clock face, no clock.

Source: RFC 3339; Go's ``time.RFC3339Nano``, which drops trailing zeros.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from mini_docker.errors import Invalid

NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time: "has not happened"."""

_NANO = 10**9
_LAST_SECOND = 253402300799  # of the year 9999
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9})\d*)?)?)?(Z|z|[+-]\d\d:\d\d)?\Z",
    re.ASCII,
)
_UNIX = re.compile(r"(\d+)(?:\.(\d{1,9})\d*)?\Z", re.ASCII)
_DURATION = re.compile(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)", re.ASCII)
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def format_time(nanoseconds: int) -> str:
    """Nanoseconds since the epoch as ``2014-08-20T17:03:05.123456789Z``; 0 is `NEVER`."""
    if not nanoseconds:
        return NEVER
    seconds, rest = divmod(nanoseconds, _NANO)
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + fraction + "Z"


def format_log_time(nanoseconds: int) -> str:
    """The same with all nine digits, as ``docker logs -t`` prints, so that columns align."""
    seconds, rest = divmod(nanoseconds, _NANO)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


def parse_time(text: str, now: int | None = None) -> int:
    """The inverse of `format_time`, and what ``--since`` takes: unix seconds, RFC 3339, or a duration ago.

    Args:
        now: nanoseconds since the epoch; the clock's when None.

    Returns:
        nanoseconds since the epoch; 0 for an empty text and for `NEVER`.

    Raises:
        Invalid: none of the three.
    """
    if text in ("", NEVER):
        return 0
    if (match := _UNIX.match(text)) and int(match[1]) <= _LAST_SECOND:
        return int(match[1]) * _NANO + int((match[2] or "").ljust(9, "0"))
    if match := _RFC3339.match(text):
        year, month, day, hour, minute, second = (int(group or 0) for group in match.groups()[:6])
        zone = match[8] or "Z"
        offset = 0 if zone in "Zz" else int(zone[0] + "1") * (int(zone[1:3]) * 3600 + int(zone[4:6]) * 60)
        try:
            seconds = int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()) - offset
        except ValueError as error:
            raise Invalid(f"invalid time {text!r}: {error}") from None
        return seconds * _NANO + int((match[7] or "").ljust(9, "0"))
    parts = _DURATION.findall(text.removeprefix("-"))
    if parts and "".join(number + unit for number, unit in parts) == text.removeprefix("-"):
        ago = sum(float(number) * _UNITS[unit] for number, unit in parts)
        return max(0, (time.time_ns() if now is None else now) - int(min(ago, _LAST_SECOND) * _NANO))
    raise Invalid(f"invalid time {text!r}: give unix seconds, an RFC 3339 time, or a duration such as 10m")
