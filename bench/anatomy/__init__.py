"""The anatomy of one start: where its microseconds go, seen at three depths.

The daemon's hot path carries nothing for this. From outside its requests and its job trace are read; below, the
library is driven by the bench itself, through a kernel door that keeps the time.
"""
