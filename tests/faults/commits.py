"""Commits that fail, or succeed unheard: what a cut connection or a bad disk does to the last step.

Only commits that write are touched, of whichever engine; reading goes on.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.default import DefaultDialect

Step = Callable[[Any], None]


def _nothing(_: Any) -> None:
    """Do nothing."""


@contextmanager
def commits(*, before: Step = _nothing, after: Step = _nothing) -> Iterator[None]:
    """Do something with the driver's connection before and after each commit that writes."""
    real: Callable[[DefaultDialect, Any], None] = DefaultDialect.do_commit
    writing = False

    def look(connection: Connection) -> None:
        nonlocal writing
        writing = not connection.get_execution_options().get("reading", False)

    def commit(dialect: DefaultDialect, driver: Any) -> None:
        if writing:
            before(driver)
        real(dialect, driver)
        if writing:
            after(driver)

    event.listen(Engine, "commit", look)
    try:
        with patch.object(DefaultDialect, "do_commit", commit):
            yield
    finally:
        event.remove(Engine, "commit", look)
