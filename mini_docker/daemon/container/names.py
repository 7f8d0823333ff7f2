"""Names for containers whose maker gave none: an adjective and the surname of someone who made computing.

Pure words and the rule for valid ones; it knows nothing of which are taken but what it is told.

Source: the idea is Docker's ``pkg/namesgenerator``; the lists are ours.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from mini_docker.errors import Invalid

ADJECTIVES = (
    "able", "amber", "apt", "brisk", "calm", "candid", "careful", "chief", "civil", "clear", "cosy", "crisp",
    "daring", "deft", "eager", "early", "even", "exact", "fair", "fleet", "fluent", "frank", "fresh", "gallant",
    "gentle", "glad", "golden", "handy", "hardy", "honest", "ideal", "jolly", "just", "keen", "kind", "level",
    "light", "lively", "loyal", "lucid", "mellow", "merry", "mild", "modest", "neat", "nimble", "noble", "open",
    "patient", "plain", "polite", "prime", "proper", "proud", "quick", "quiet", "rapid", "ready", "robust", "sage",
    "sharp", "sincere", "smart", "solid", "sound", "steady", "still", "sturdy", "subtle", "sunny", "swift", "tidy",
    "true", "upbeat", "valiant", "vivid", "warm", "witty", "worthy", "zesty",
)  # fmt: skip

SURNAMES = (
    "aiken", "allen", "babbage", "backus", "bachman", "bartik", "berners", "boole", "brooks", "cerf", "chang",
    "church", "clarke", "cocke", "codd", "conway", "corbato", "cray", "curry", "dahl", "davies", "diffie", "dijkstra",
    "eckert", "engelbart", "erdos", "estrin", "feinler", "floyd", "gauss", "godel", "goldberg", "gosling", "gray",
    "hamilton", "hamming", "hellman", "hoare", "holberton", "hopper", "huffman", "iverson", "jennings", "joy",
    "kahan", "karp", "kay", "keller", "kernighan", "kilburn", "kleene", "kleinrock", "knuth", "lamarr", "lamport",
    "lampson", "liskov", "lovelace", "mauchly", "mcilroy", "merkle", "meitner", "milner", "minsky", "moore", "naur",
    "neumann", "noether", "nygaard", "ousterhout", "perlis", "perlman", "postel", "rabin", "ritchie", "rivest",
    "shannon", "stallman", "stibitz", "sutherland", "tarjan", "thompson", "torvalds", "turing", "wilkes",
    "wilkinson", "wirth", "yao", "zuse",
)  # fmt: skip

_VALID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+\Z")


def random_name(taken: Callable[[str], bool], chooser: random.Random | None = None) -> str:
    """A name that is not *taken*: ``brisk_lovelace``, with a number once luck runs out."""
    choose = chooser or random.SystemRandom()  # not for secrecy: it needs no seed, which takes longer than the choice
    for attempt in range(100):
        name = f"{choose.choice(ADJECTIVES)}_{choose.choice(SURNAMES)}"
        if attempt >= 5:
            name += str(choose.randrange(10 ** (attempt // 5)))
        if not taken(name):
            return name
    raise Invalid("no free container name found; give one with --name")


def check_name(name: str) -> str:
    """The name without its leading slash.

    Raises:
        Invalid: not a name Docker allows.
    """
    bare = name.removeprefix("/")
    if not _VALID.match(bare):
        raise Invalid(f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    return bare
