"""`helm-client`: the way in. A shell that completes a word is answered before the command line is loaded."""

from __future__ import annotations

import os
import sys

from helm_client.cli.completion import VARIABLE, complete


def main() -> None:
    """Run the command line with the process's own words, and exit."""
    answer = complete(os.environ) if VARIABLE in os.environ else None
    if answer is not None:
        sys.stdout.write(answer)
        return
    from helm_client.cli import app

    app.main()


if __name__ == "__main__":
    main()
