"""The container box: what one container is, remembers and may do next; pure but for its store, volumes and devices.

Read `state.py` (the life as a table), `config.py` and `host_config.py` (the order), `container.py` (the folder of
one guest), `store.py` (the cabinet), `spec.py` (from the order to libcontainer's drawing), `restart.py`.
"""
