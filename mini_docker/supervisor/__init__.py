"""The supervisor: the process that holds containers, so that they outlive the daemon.

Read `main.py` (how it starts), `loop.py` (one selector), `supervisor.py` (requests),
`process.py` (birth and death of one process), `stdio.py` (its streams), `log_writer.py` and
`json_log.py`; `protocol.py` and `client.py` are how the daemon speaks with it.
"""
