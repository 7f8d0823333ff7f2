"""The Registry box: the daemon's envoy to the warehouses where images are kept, and a warehouse of our own.

Read `reference.py` (an image's address), `manifest.py` and `digest.py` (what is in the parcel), `endpoints.py`
(where to knock), `challenge.py`, `auth.py` (the token dance), `transport.py` and `conversation.py` (the wire,
patiently), `session.py`, `download.py`, `upload.py` (one repository), `service.py` (what is remembered in
between). `server/` is the other side of the same conversation.

It knows nothing of the graph: the jobs ``pull`` and ``push`` join the two.
"""
