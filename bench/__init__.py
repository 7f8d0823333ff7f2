"""The bench: a racecourse, not a stopwatch. Both runners start in the same sitting, in turns, on the same ground.

It stands beside the project and is no part of it: nothing in `mini_docker` imports it. `docs/bench.md` says how it
measures and how to read it.
"""
