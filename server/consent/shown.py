"""What a person is shown before answering, the same on every route, made from the ledger's row."""

from datetime import UTC, datetime

from server.releases.models import Request
from server.text import quoted


def facts(request: Request) -> list[tuple[str, str]]:
    """Say who, what, why and what the portal says, as labels and texts."""
    who = f"{quoted(request.full_name, 80)}, username {request.username}"
    facts = [
        ("Member", who + (f", {request.email}" if request.email else "")),
        ("Product", request.product.title),
        ("Reason given", quoted(request.ask_reason, 500)),
        ("Ticket", quoted(request.ticket, 64) if request.ticket else "none"),
        (
            "Portal",
            f"{quoted(request.portal_name, 80)}, {request.portal}, "
            f"version {request.portal_version}",
        ),
        ("The portal says", evidence(request)),
        ("Asked by", request.asked_by + (f" through {request.client}" if request.client else "")),
    ]
    return [*facts, ("Note", request.notice)] if request.notice else facts


def evidence(request: Request) -> str:
    """Say what the portal reported, and when."""
    says = "checked out for offline use"
    if request.license != "offline":
        says = (
            "not shown as checked out, which portals are known to report wrongly for this product"
        )
    return f"{says}; last sign-in {moment(request.last_login)} (read {moment(request.read_at)})"


def consequences(request: Request) -> list[str]:
    """Say what a yes leads to, and what it does not."""
    return [
        f"If you agree, the member can use {request.product.title} on another device. The old "
        "device may keep working until its license file ends, so two devices may be in use.",
        "The member keeps the license assignment. A release cannot be taken back.",
    ]


def moment(milliseconds: int | None) -> str:
    """Write a time as people read it, in UTC."""
    if milliseconds is None:
        return "never"
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
