"""The process that Helm's code lives in: one line of JSON in is a call, one line out is its answer.

Started by `remote` as a program of its own, named `helm`, because Kubernetes keeps who owns a field by that name.
What Helm's code prints goes to standard error. When standard input ends the parent is gone: a call that still runs
is given up at once, as a signal to helm would do.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import sys
import threading
from typing import Any, TextIO


def main() -> None:
    """Answer calls until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    calls: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(calls,), daemon=True).start()
    while line := calls.get():
        _answer(json.loads(line), answers)


def _listen(calls: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        calls.put(line)
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os._exit(0)


def _answer(call: dict[str, Any], answers: TextIO) -> None:
    from helm_client.engine import sdk

    os.chdir(call["folder"])
    try:
        answer = {"result": sdk.CALLS[call["call"]](call["facts"])}
    except Exception as error:
        fault = sdk.describe_fault(error)
        if fault is None:
            raise
        answer = {"fault": fault}
    answers.write(f"{json.dumps(answer)}\n")


if __name__ == "__main__":
    main()
