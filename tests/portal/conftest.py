"""Retries without waiting: the number of attempts stays what the client asks for."""

from collections.abc import Iterator

import pytest
import stamina


@pytest.fixture(autouse=True)
def retries_do_not_wait() -> Iterator[None]:
    with stamina.set_testing(True, attempts=100, cap=True):
        yield
