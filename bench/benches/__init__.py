"""The benches, one module a subject; `catalogue.py` lists them all."""
