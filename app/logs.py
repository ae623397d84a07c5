"""How events are written down: one line each on stderr, as text or as JSON with ChartMuseum's field names."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog


def configure_logs(*, level: str, as_json: bool) -> None:
    """Set the least level (debug, info, warning, error) and the form of every line of this process."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if as_json:
        final: list[Any] = [
            structlog.processors.format_exc_info,
            _museum_fields,
            structlog.processors.JSONRenderer(),
        ]
    else:
        # Its usual traceback shows local variables, passwords among them, and takes seconds to draw.
        plain = structlog.dev.plain_traceback
        final = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    # What libraries say (uvicorn's start, boto3's retries) takes the same way out from "warning" on.
    logging.basicConfig(level=max(number, logging.WARNING), stream=sys.stderr, format="%(levelname)s %(message)s")


def _museum_fields(_logger: object, _name: str, event: dict[str, Any]) -> dict[str, Any]:
    """Name level, time and message as ChartMuseum's JSON logs do."""
    level, moment, message = event.pop("level"), event.pop("timestamp"), event.pop("event")
    return {"L": level.upper(), "T": moment, "M": message, **event}
