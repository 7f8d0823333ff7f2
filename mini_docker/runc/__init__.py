"""mini-runc, the OCI runtime command: libcontainer's other parent, beside the supervisor.

Engines that people use already (containerd, Docker, podman) start containers by calling such a command. Read
`main.py` (the commands), `command_line.py` (their words), `oci.py` (config.json → a container's spec),
`runtime.py` (create, start, kill, delete), `birth.py` (a container's birth, waited for step by step),
`state_folder.py` (what is remembered between two commands), `hooks.py`, `terminal.py`, `listing.py`.
"""
