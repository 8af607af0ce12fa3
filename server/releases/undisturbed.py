"""SIGTERM waits while a release is being sent, so that its outcome is recorded first.

Clients end a server with it soon after they closed its input. It takes effect as soon as nothing is
being sent. SIGKILL cannot be made to wait: what it leaves is settled by the next server's reading.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Undisturbed:
    """Counts what is being sent. Only the main thread may change what a signal does."""

    def __init__(self) -> None:
        self._sending = 0
        self._arrived = False

    @contextmanager
    def while_sending(self) -> Iterator[None]:
        """Let SIGTERM wait until this, and whatever else is being sent, has ended."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        if self._sending == 0:
            self._arrived = False
            self._before = signal.signal(signal.SIGTERM, self._wait)
        self._sending += 1
        try:
            yield
        finally:
            self._sending -= 1
            if self._sending == 0:
                signal.signal(signal.SIGTERM, self._before or signal.SIG_DFL)
                if self._arrived:
                    signal.raise_signal(signal.SIGTERM)

    def _wait(self, _number: int, _frame: FrameType | None) -> None:
        self._arrived = True
