"""cgroups: the meters and fuses of a house of processes: who uses how much, and where it ends.

`hierarchy` finds out how this machine's cgroups are laid out, `features` what its kernel can limit,
`v1` and `v2` turn limits into writes (pure plans), and the managers carry the writes out.
"""
