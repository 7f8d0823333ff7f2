"""Numbers as people say them: sizes, durations, dates. Pure functions, in Docker's words.

Client and daemon both speak them, so they stand below both; and since the client's start-up counts, nothing is
imported here before it is needed.

Source of the words: docker/go-units (HumanSize, BytesSize, HumanDuration, RAMInBytes).
"""

from __future__ import annotations

from mini_docker.errors import Invalid

_BINARY = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def parse_size(text: str) -> int:
    """Bytes in ``32m``, ``1.5GB``, ``64KiB``, ``4096``: units are powers of 1024, as for memory.

    Raises:
        Invalid: it is no size.
    """
    stripped = text.strip()
    number = stripped[: len(stripped) - len(stripped.lstrip("0123456789."))]
    unit = stripped[len(number) :].strip().lower()
    for ending in ("ib", "b"):
        if len(unit) > len(ending) and unit.endswith(ending):
            unit = unit.removesuffix(ending)
            break
    whole, _, fraction = number.partition(".")
    if unit not in _BINARY or not whole.isdecimal() or (fraction and not fraction.isdecimal()):
        raise Invalid(f"invalid size: '{text}': a number and a unit, as in 512m or 10G")
    return int(whole) * _BINARY[unit] + (int(float(f"0.{fraction}") * _BINARY[unit]) if fraction else 0)


def parse_nano_cpus(text: str) -> int:
    """Billionths of a CPU in ``1.5``.

    Raises:
        ValueError: it is no decimal number, or finer than a billionth.
    """
    whole, _, fraction = text.partition(".")
    if not (whole + fraction).isdecimal():
        raise ValueError(f"failed to parse {text} as a rational number")
    if len(fraction) > 9:
        raise ValueError(f"value is too precise: {text} has more than nine decimals")
    return int(whole or "0") * 10**9 + int((fraction + "0" * 9)[:9])


def parse_duration(text: str) -> float:
    """Seconds in Go's ``1h2m3.5s``.

    Raises:
        ValueError: it is no duration.
    """
    rest, seconds = text.removeprefix("-"), 0.0
    if rest == "0":
        return 0.0
    while rest:
        number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        tail = rest[len(number) :]
        unit = tail[: len(tail) - len(tail.lstrip("hmsuµn"))]
        # "1m2s": the letters up to the next digit are one unit, "ms" included.
        if unit not in _SECONDS or not number.strip("."):
            raise ValueError(f'invalid duration "{text}"')
        try:
            seconds += float(number) * _SECONDS[unit]
        except ValueError:
            raise ValueError(f'invalid duration "{text}"') from None
        rest = tail[len(unit) :]
    if not text.strip("-"):
        raise ValueError(f'invalid duration "{text}"')
    return -seconds if text.startswith("-") else seconds


def human_size(size: float, precision: int = 3) -> str:
    """``1.23MB``: powers of 1000, *precision* digits, as images and layers are shown."""
    return _scaled(size, 1000.0, ("B", "kB", "MB", "GB", "TB", "PB", "EB"), precision)


def binary_size(size: float) -> str:
    """``1.5GiB``: powers of 1024, four digits, as memory is shown."""
    return _scaled(size, 1024.0, ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"), 4)


def _scaled(size: float, base: float, units: tuple[str, ...], precision: int) -> str:
    unit = 0
    while size >= base and unit < len(units) - 1:
        size /= base
        unit += 1
    return f"{size:.{precision}g}{units[unit]}"


def human_duration(seconds: float) -> str:
    """``About a minute``, ``3 hours``: a duration as Docker says it: hours are rounded, all else is cut off."""
    whole = int(seconds)
    minutes, hours = whole // 60, int(seconds / 3600 + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{whole // 3600 // 24 // 365} years"


def parse_time(text: str) -> float:
    """Seconds since the epoch in Docker's dates: ``2026-01-02T03:04:05.123456789Z``.

    Raises:
        ValueError: it is no such date.
    """
    from datetime import UTC, datetime

    day, dot, rest = text.partition(".")
    if dot:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        day, fraction = day + rest[len(digits) :], float(f"0.{digits or '0'}")
    else:
        fraction = 0.0
    made = datetime.fromisoformat(day.replace("Z", "+00:00"))
    if made.tzinfo is None:
        made = made.astimezone()
    return (made - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() + fraction


def timestamp(text: str, now: float) -> str:
    """What ``--since`` and ``--until`` mean, as the Remote API takes it: seconds since the epoch.

    Args:
        text: ``10m`` (ago), a number of seconds since the epoch, or a date.
        now: seconds since the epoch.

    Raises:
        ValueError: it is none of these.
    """
    if text.replace(".", "", 1).isdecimal():
        return text
    try:
        return f"{now - parse_duration(text):.9f}"
    except ValueError:
        pass
    try:
        return f"{parse_time(text):.9f}"
    except ValueError:
        raise ValueError(f'failed to parse value as time or duration: "{text}"') from None


def rfc3339(nanoseconds: int) -> str:
    """Nanoseconds since the epoch as a local date with nine digits, as events are shown."""
    from datetime import datetime

    seconds, rest = divmod(nanoseconds, 10**9)
    made = datetime.fromtimestamp(seconds).astimezone()
    zone = f"{made:%z}"
    return f"{made:%Y-%m-%dT%H:%M:%S}.{rest:09d}" + ("Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}")
