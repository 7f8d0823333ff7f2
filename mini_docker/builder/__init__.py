"""The Builder box: a Dockerfile becomes jobs. It knows the engine, and neither graph nor driver.

Read `dockerfile.py` (the script as a list of instructions), `context.py` (the files that came with it) and
`build.py` (each instruction becomes jobs: create, start, wait, commit).
"""
