"""Drivers: what Docker asks of the machine, behind one contract a family.

`graphdriver` stores and mounts layers, `execdriver` runs containers, `networkdriver` connects
them. Each family's `contract.py` holds Protocols and frozen values and nothing else.
"""
