"""``python -m bench``; `script/bench` runs it in namespaces of its own."""

from __future__ import annotations

import sys

from bench.command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
