"""The ledger's transactions: alone in writing, one moment in reading, and plain where they fail."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from server.errors import LedgerUnavailable
from server.releases import migrations
from server.releases.chain import Entry
from server.releases.database import Session, open_database
from server.text import plain

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Turn:
    """One writing transaction: its connection, what the database says of us, what was appended."""

    connection: Connection
    session: Session
    appended: list[Entry] = field(default_factory=list)


class Transactions:
    """The ledger's database at an SQLAlchemy URL, opened and made ready on first use.

    Whatever fails in a transaction is raised as `LedgerUnavailable`, which says what to do.
    """

    def __init__(self, url: str) -> None:
        self._database = open_database(url)
        self._prepared = False
        self._queue = Lock()

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def exists(self) -> bool:
        """Tell whether the database has a ledger's tables."""
        with self._plainly(), self._database.reading() as connection:
            return self._database.session(connection).version > 0

    def prepare(self) -> None:
        """Make the tables where there are none, and bring old ones up to date."""
        with self._plainly():
            migrations.prepare(self._database)

    def account(self, connection: Connection) -> str | None:
        """Return who the database says is signed in; None where it has no accounts."""
        return self._database.session(connection).account

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """See a single moment, and keep nobody waiting."""
        with self._plainly():
            self._prepare()
            with self._database.reading() as connection:
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Turn]:
        """Be alone in writing; what was appended is durable, and logged, when this ends."""
        # In this process they queue already: a database does not serve who waits in turn.
        with self._plainly(), self._queue:
            self._prepare()
            with self._database.writing() as connection:
                turn = Turn(connection, self._database.session(connection))
                migrations.check(turn.session)
                yield turn
        for entry in turn.appended:
            _log(entry)

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            raise LedgerUnavailable(_why(error), self._database.advice) from error

    def _prepare(self) -> None:
        if not self._prepared:
            migrations.prepare(self._database)
            self._prepared = True


def _why(error: Exception) -> str:
    """Return what the database says, without the statement that it says it of."""
    said = getattr(error, "orig", None) or error
    diagnosis = getattr(getattr(said, "diag", None), "message_primary", None)
    return plain(diagnosis or said)


def _log(entry: Entry) -> None:
    changed = entry.changed
    told = {name: changed[name] for name in ("state", "reason", "route") if name in changed}
    extra: dict[str, object] = {"release_id": entry.release_id, "entry": entry.seq}
    logger.info(entry.event, extra=extra | told)
