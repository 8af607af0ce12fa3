"""The ways in which a ledger on a server fails: each really happens, to it or on the way there."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

from tests.faults.commits import commits
from tests.faults.ledger_matrix import OnPostgres
from tests.postgres import Postgres

LOCK = "hashtext('arcgis-license-mcp')"


class PostgresFaults:
    """Every fault of a ledger on a server. What it broke is mended when its block ends.

    `url` is the ledger as its owner opens it, `account` who uses it here.
    """

    def __init__(self, postgres: Postgres, url: str, account: str) -> None:
        self._postgres, self._account = postgres, account
        self._schema = str(make_url(url).query["options"]).removeprefix("-csearch_path=")
        self._engine = create_engine(url)

    def close(self) -> None:
        """Close our own connections."""
        self._engine.dispose()

    def of(self, fault: OnPostgres) -> AbstractContextManager[None]:
        """Return the block during which the ledger fails."""
        run, schema, account = self._run, self._schema, self._account
        match fault:
            case "stopped":
                return self._between(self._stop, self._postgres.start)
            case "cut":
                return self._between(self._postgres.cut_connections)
            case "cut_before_commit":
                return commits(before=lambda _: self._postgres.cut_connections())
            case "cut_after_commit":
                return commits(after=self._cut_and_notice)
            case "locked":
                return self._locked()
            case "not_waiting":
                return self._between(lambda: self._wait_for_disk("off"), self._waits_again)
            case "newer":
                return self._between(
                    lambda: run(f"INSERT INTO {schema}.ledger_version VALUES (99)"),
                    lambda: run(f"DELETE FROM {schema}.ledger_version WHERE version = 99"),
                )
            case "no_rights":
                return self._between(
                    lambda: run(f"REVOKE USAGE ON SCHEMA {schema} FROM {account}"),
                    lambda: run(f"GRANT USAGE ON SCHEMA {schema} TO {account}"),
                )
            case "no_entries":
                return self._between(
                    lambda: run(f"REVOKE INSERT ON {schema}.entries FROM {account}"),
                    lambda: run(f"GRANT INSERT ON {schema}.entries TO {account}"),
                )
            case "read_only":
                return self._between(lambda: self._read_only("on"), lambda: self._read_only("off"))
            case "tables_gone":
                return self._between(
                    lambda: run(f"ALTER TABLE {schema}.requests RENAME TO moved"),
                    lambda: run(f"ALTER TABLE {schema}.moved RENAME TO requests"),
                )

    def holds_an_intent(self) -> bool:
        """Tell whether the intent to send is committed."""
        with self._engine.connect() as connection:
            found = connection.execute(text("SELECT state FROM requests")).scalars().all()
        return found == ["sending"]

    @contextmanager
    def _between(
        self, strike: Callable[[], None], mend: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        self._engine.dispose()
        strike()
        try:
            yield
        finally:
            mend()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._engine.connect() as other:
            other.exec_driver_sql(f"SELECT pg_advisory_lock({LOCK})")
            yield
            other.exec_driver_sql(f"SELECT pg_advisory_unlock({LOCK})")

    def _stop(self) -> None:
        self._needs_our_own()
        self._postgres.stop()

    def _waits_again(self) -> None:
        self._wait_for_disk("on")

    def _wait_for_disk(self, wanted: str) -> None:
        self._needs_our_own()
        self._run(f"ALTER SYSTEM SET fsync = {wanted}", "SELECT pg_reload_conf()")
        found = ""
        while found != wanted:
            with self._engine.connect() as connection:
                found = connection.exec_driver_sql("SHOW fsync").scalar_one()
            self._engine.dispose()
        self._postgres.cut_connections()

    def _read_only(self, value: str) -> None:
        self._run(f"ALTER ROLE {self._account} SET default_transaction_read_only = {value}")
        self._postgres.cut_connections()

    def _cut_and_notice(self, driver: Any) -> None:
        self._postgres.cut_connections()
        driver.execute("SELECT 1")

    def _run(self, *statements: str) -> None:
        self._postgres.run(*statements)

    def _needs_our_own(self) -> None:
        if not self._postgres.is_own:
            pytest.skip("the server of TEST_LEDGER_URL is not stopped or set otherwise")
