"""Logs for an operator: on stderr, an event a line, as JSON.

What is said of an event stands in fields of its own (`release_id`, `state`, `reason`, `why`), so
that a log can be searched. No secret is among them, and stdout is the protocol's alone.
"""

import logging
import sys

from pythonjsonlogger.json import JsonFormatter

_RENAMED = {"asctime": "time", "levelname": "level", "name": "logger", "message": "event"}


def start(level: str) -> None:
    """Log everything of this level and above, whichever library says it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            datefmt="%Y-%m-%dT%H:%M:%S%z",
            rename_fields=_RENAMED,
        )
    )
    logging.basicConfig(level=level, handlers=[handler])
    # httpx logs every address at INFO, and a member's username can be in it.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("stamina").setLevel(logging.ERROR)
