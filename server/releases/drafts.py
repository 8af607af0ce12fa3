"""A request before it is in the ledger: what was asked for, and then what the portal shows of it.

Everything that came from elsewhere is made plain and bounded here, once, before it is kept.
"""

from dataclasses import replace

from server.releases.models import Ask, Evidence, Refusal, Request
from server.releases.records import HOUR
from server.text import plain, quoted


def draft(
    ask: Ask, *, portal_url: str, requester: str, client: str, now: int, expires: int
) -> Request:
    """Return what was asked for, open until `now + expires`, and without any evidence."""
    return Request(
        release_id="",
        created_at=now,
        portal=portal_url,
        portal_name="",
        portal_version="unknown",
        username=ask.username,
        full_name="",
        email="",
        app_id=ask.app_id,
        license="unread",
        last_login=None,
        read_at=None,
        requester=requester,
        client=plain(client, 80),
        ask_reason=plain(ask.reason, 500),
        ticket=plain(ask.ticket, 64),
        notice="",
        expires_at=now + expires,
        state="open",
        reason="waiting",
    )


def refused(asked: Request, refusal: Refusal) -> Request:
    """Return it as one that is closed at once."""
    return replace(
        asked,
        state="not_released",
        reason=refusal.reason,
        detail=refusal.detail,
        finished_at=asked.created_at,
    )


def with_evidence(asked: Request, evidence: Evidence, before: Request | None) -> Request:
    """Add what the portal says, and a notice of the license's release `before`, if any."""
    return replace(
        asked,
        portal_name=plain(evidence.portal.name, 80),
        portal_version=evidence.portal.version_text,
        full_name=plain(evidence.member.full_name, 80),
        email=plain(evidence.member.email, 120),
        license=evidence.license,
        last_login=evidence.member.last_login,
        read_at=evidence.read_at,
        notice="" if before is None else _notice(before, asked.created_at),
    )


def _notice(before: Request, now: int) -> str:
    hours = (now - (before.finished_at or now)) // HOUR
    when = "less than two hours" if hours < 2 else f"{hours} hours"
    ago = when if hours < 48 else f"{hours // 24} days"
    why = quoted(before.ask_reason, 120)
    return f"This license was already released {ago} ago ({before.release_id}, {why})."
