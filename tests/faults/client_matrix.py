"""Every moment at which a client can go away, and what is left of the request then.

Before the intent is durable nothing has been sent, and what nobody carries on sends nothing. From
then on the outcome is recorded all the same: the request to release is not interrupted.
"""

from dataclasses import dataclass
from typing import Literal

from server.releases.models import State


@dataclass(frozen=True)
class Moment:
    """The portal holds its answer to `step`, before or after it acts. `yes`: the person's answer
    has come by then. `left`: the states that the request may then be in, None for not recorded;
    `sent`: how many requests to release the portal counts; `later`: how the next server ends it."""

    step: str
    yes: bool
    left: tuple[State | None, ...]
    sent: int = 0
    acts: Literal["before", "after"] = "before"
    later: State | None = None

    @property
    def name(self) -> str:
        return f"{'yes' if self.yes else 'asked'}-{self.step}-{self.acts}"


UNASKED: tuple[State | None, ...] = (None,)

MOMENTS = [
    # A sign-in is never interrupted, so where the client is gone unnoticed the question is reached.
    Moment("sign_in", yes=False, left=(None, "open")),
    Moment("facts", yes=False, left=UNASKED),
    Moment("member", yes=False, left=UNASKED),
    Moment("listings", yes=False, left=UNASKED),
    Moment("license", yes=False, left=UNASKED),
    Moment("question", yes=False, left=("open",), later="open"),
    Moment("member", yes=True, left=("approved",), later="released"),
    Moment("license", yes=True, left=("approved",), later="released"),
    Moment("release", yes=True, left=("released",), sent=1, later="released"),
    Moment("release", yes=True, acts="after", left=("released",), sent=1, later="released"),
    Moment("verify", yes=True, left=("released",), sent=1, later="released"),
]
