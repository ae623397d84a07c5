"""Runs the command line as it is, and says which modules are imported when a line comes on standard input."""

from __future__ import annotations

import sys
import threading

from app.__main__ import main


def _answer() -> None:
    for _ in sys.stdin:
        sys.stderr.write(f"modules: {' '.join(sorted(sys.modules))}\n")
        sys.stderr.flush()


if __name__ == "__main__":
    threading.Thread(target=_answer, daemon=True).start()
    main()
