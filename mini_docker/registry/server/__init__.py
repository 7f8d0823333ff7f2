"""A private registry: the other side of the conversation that `mini_docker.registry` leads as a client.

Read `storage.py` (the warehouse), `uploads.py` (the loading dock), `request.py`, `blobs.py`, `manifests.py` (what may
be asked), `access.py`, `passwords.py`, `tickets.py` (who may ask), `application.py` (who answers), `garbage.py`.
"""
