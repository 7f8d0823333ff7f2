"""Detach keys: the knock by which a user leaves a terminal without ending what runs in it.

A pure state machine over typed bytes: what is the beginning of the knock is held back until it is
certain whether it is one. The daemon listens for it where a stock client does not, and our client does before the
daemon hears anything; so it stands below both.

Source: Docker's ``pkg/term/ascii.go`` and ``pkg/term/proxy.go``.
"""

from __future__ import annotations

from mini_docker.errors import Invalid

DEFAULT_KEYS = b"\x10\x11"
"""ctrl-p, ctrl-q."""

_PUNCTUATION = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def parse_keys(text: str) -> bytes:
    """``ctrl-p,ctrl-q`` or ``a,b`` as the bytes that a terminal sends; empty for the default.

    Raises:
        Invalid: not a key's name.
    """
    if not text:
        return DEFAULT_KEYS
    keys = bytearray()
    for word in text.split(","):
        if len(word) == 1 and word.isascii():
            keys += word.encode()
            continue
        letter = word.lower().removeprefix("ctrl-")
        if letter == word.lower() or len(letter) != 1:
            raise Invalid(f"Invalid detach keys ({text}) provided: Unknown character: '{word}'")
        if "a" <= letter <= "z":
            keys.append(ord(letter) - ord("a") + 1)
        elif letter in _PUNCTUATION:
            keys.append(_PUNCTUATION[letter])
        else:
            raise Invalid(f"Invalid detach keys ({text}) provided: Unknown character: '{word}'")
    return bytes(keys)


class DetachKeys:
    """Watches typed bytes for the knock.

    Args:
        keys: the knock; empty never detaches.

    Law: what `feed` lets through, before the knock, is what was typed, byte for byte, but for a
    beginning of the knock that is still held back.
    """

    def __init__(self, keys: bytes = DEFAULT_KEYS) -> None:
        self._keys = keys
        self._held = 0  # how many bytes of the knock were typed
        self.detached = False

    def feed(self, typed: bytes) -> bytes:
        """Take what was typed; returns what may pass on. Once `detached` is true, nothing passes."""
        passed = bytearray()
        for byte in typed:
            if self.detached:
                break
            self._step(byte, passed)
        return bytes(passed)

    def flush(self) -> bytes:
        """Nothing more will be typed: what was held back was no knock after all."""
        held, self._held = self._held, 0
        return b"" if self.detached else self._keys[:held]

    def _step(self, byte: int, passed: bytearray) -> None:
        keys = self._keys
        if not keys:
            passed.append(byte)
            return
        seen = keys[: self._held] + bytes([byte])
        # The longest end of what was seen that is a beginning of the knock is held back; the rest passes.
        start = next(start for start in range(len(seen) + 1) if keys.startswith(seen[start:]))
        passed += seen[:start]
        self._held = len(seen) - start
        if self._held == len(keys):
            self.detached = True
