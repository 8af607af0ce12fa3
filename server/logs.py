"""Logs for an operator: on stderr, an event a line, as JSON.

What is said of an event stands in fields of its own (`release_id`, `state`, `reason`, `why`), so
that a log can be searched. No secret is among them, and stdout is the protocol's alone.
"""

import logging
import sys

from pythonjsonlogger.json import JsonFormatter

_RENAMED = {"asctime": "time", "levelname": "level", "name": "logger", "message": "event"}


def start(level: str) -> None:
    """Log what this program says of this level and above, and the warnings of its libraries."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            datefmt="%Y-%m-%dT%H:%M:%S%z",
            rename_fields=_RENAMED,
        )
    )
    # What libraries say at lower levels can hold addresses, headers and whole messages.
    logging.basicConfig(level=max(logging.WARNING, logging.getLevelName(level)), handlers=[handler])
    logging.getLogger("server").setLevel(level)
    logging.getLogger("stamina").setLevel(logging.ERROR)
