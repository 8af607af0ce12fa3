"""SIGTERM while something is being sent: it waits for all of it, and then it takes effect."""

import signal
import threading
from collections.abc import Iterator

import pytest

from server.releases.undisturbed import Undisturbed

pytestmark = pytest.mark.promise("uncancelled")


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """The signals that took effect."""
    signals: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: signals.append(number))
    yield signals
    signal.signal(signal.SIGTERM, before)


def test_a_signal_waits_until_the_last_of_two_has_been_sent(heard: list[int]) -> None:
    undisturbed = Undisturbed()
    first, second = undisturbed.while_sending(), undisturbed.while_sending()
    with first:
        with second:
            signal.raise_signal(signal.SIGTERM)
            assert heard == []
        assert heard == []
    assert heard == [signal.SIGTERM]


def test_a_signal_after_the_sending_takes_effect_at_once(heard: list[int]) -> None:
    undisturbed = Undisturbed()
    with undisturbed.while_sending():
        pass
    assert heard == []
    signal.raise_signal(signal.SIGTERM)
    assert heard == [signal.SIGTERM]


def test_a_signal_takes_effect_once_and_not_again_after_the_next_sending(
    heard: list[int],
) -> None:
    undisturbed = Undisturbed()
    with undisturbed.while_sending():
        signal.raise_signal(signal.SIGTERM)
    with undisturbed.while_sending():
        pass
    assert heard == [signal.SIGTERM]


def test_a_signal_waits_for_a_second_sending_as_for_the_first(heard: list[int]) -> None:
    undisturbed = Undisturbed()
    for already in ([], [signal.SIGTERM]):
        with undisturbed.while_sending():
            signal.raise_signal(signal.SIGTERM)
            assert heard == already
    assert heard == [signal.SIGTERM] * 2


def test_what_is_sent_may_fail_and_the_signal_still_takes_effect(heard: list[int]) -> None:
    with pytest.raises(RuntimeError), Undisturbed().while_sending():  # noqa: PT012
        signal.raise_signal(signal.SIGTERM)
        raise RuntimeError
    assert heard == [signal.SIGTERM]


def test_another_thread_than_the_main_one_changes_no_signal(heard: list[int]) -> None:
    seen: list[object] = []

    def send() -> None:
        with Undisturbed().while_sending():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=send)
    thread.start()
    thread.join()
    assert seen == [before]
    assert heard == []
