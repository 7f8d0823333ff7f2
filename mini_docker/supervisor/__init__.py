"""The supervisor: the process that holds containers, so that they outlive the daemon.

Read `main.py` (how it starts), `loop.py` (one selector), `supervisor.py` (requests), `births.py` and
`nursery.py` (how processes come to be), `process.py` (one process from birth to death), `stdio.py` (its
streams), `log_writer.py` and `json_log.py`; `protocol.py`, `blueprint.py` and `client.py` are how the daemon
speaks with it.
"""
