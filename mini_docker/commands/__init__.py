"""The client's commands: one module a group, imported only when one of its commands is called.

Each module ends in a table ``COMMANDS``: a command's name, its flags and the function that does it.
`mini_docker.client` knows which module has which names. The commands know the Remote API, and
nothing of how the daemon does anything.
"""
