"""A portal that holds one answer back, so that a client can go away just then."""

from asyncio import StreamReader

import anyio

from tests.faults.client_matrix import Moment
from tests.faults.front import Front
from tests.portal.portals import Drop, RawAnswer, RawRequest

SEARCH = "/sharing/rest/community/users"


class _Unanswered(Drop):
    """Waits until whoever asked hangs up."""


class HoldingPortal(Front):
    """Holds its answer at a moment until `go_on`. A search for members is never answered: when the
    server gives it up (`gave_up`), it has noticed that its client is gone."""

    def __init__(self, moment: Moment) -> None:
        super().__init__()
        self.moment = moment
        self.reached, self.go_on = anyio.Event(), anyio.Event()
        self.searched, self.gave_up = anyio.Event(), anyio.Event()

    async def respond(self, step: str, request: RawRequest) -> RawAnswer:
        if request.path == SEARCH:
            self.searched.set()
            return _Unanswered
        if not self.armed or step != self.moment.step or self.reached.is_set():
            return await super().respond(step, request)
        if self.moment.acts == "after":
            answered = await super().respond(step, request)
        self.reached.set()
        await self.go_on.wait()
        if self.moment.acts == "before":
            answered = await super().respond(step, request)
        return answered

    async def _take(self, reader: StreamReader) -> RawAnswer:
        answered = await super()._take(reader)
        if answered is _Unanswered:
            await reader.read()
            self.gave_up.set()
        return answered
