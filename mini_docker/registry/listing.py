"""Listings: names that a registry tells page by page (tags, the catalog). It knows pages, not what the names mean.

Source: OCI distribution specification 1.1, "Content discovery"; RFC 8288 (Link headers).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from mini_docker.registry.conversation import Conversation

MOST_PAGES = 10_000
"""A registry that always names a next page must not keep us for ever."""
_NEXT_PAGE = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')


def listing(conversation: Conversation, path: str, member: str) -> list[str]:
    """All names of a list, over as many pages as the registry makes of it.

    Args:
        path: of the first page.
        member: which member of each page's JSON object has the names.

    Raises:
        RegistryError: it was refused.
    """
    found: list[str] = []
    for _ in range(MOST_PAGES):
        response = conversation.request("GET", path)
        try:
            value = json.loads(response.read_small())
        except (ValueError, RecursionError):
            value = None
        names = value.get(member) if isinstance(value, Mapping) else None
        found += [name for name in names or () if isinstance(name, str)]
        following = _NEXT_PAGE.search(response.headers.get("Link", ""))
        if following is None:
            break
        path = following[1]
    return found
