"""The tools that only look: members, one license, and everybody whose license is checked out."""

from typing import Annotated, Any

from mcp.server.mcpserver import Context
from mcp_types import CallToolResult
from pydantic import Field

from server import results
from server.releases.models import PRODUCTS, AppId, LicenseState
from server.text import plain, quoted
from server.tools import Desk, Limit, Username, desk_of, result


async def find_members(
    ctx: Context[Desk, Any],
    text: Annotated[
        str, Field(min_length=2, max_length=100, description="Name, username or e-mail")
    ],
    limit: Limit = 10,
) -> Annotated[CallToolResult, results.FoundMembers]:
    """Find members. Fuzzy: if several fit, ask which one is meant; never guess."""
    portal = await desk_of(ctx).portal()
    members, total = await portal.search(text, limit)
    found = results.FoundMembers(members=[results.found(m) for m in members], total=total)
    lines = [f"{m.username} ({quoted(m.full_name, 80)}, {m.email})" for m in found.members]
    return result(found, "\n".join([f"{total} found.", *lines]))


async def check_license(
    ctx: Context[Desk, Any], username: Username, app_id: AppId
) -> Annotated[CallToolResult, results.License]:
    """Read whether a member's license is checked out for offline use. Changes nothing."""
    evidence = await (await desk_of(ctx).releases()).look(username, app_id)
    member = evidence.member
    answer = results.License(
        username=username,
        full_name=member.full_name,
        app_id=app_id,
        license=evidence.license,
        last_login=results.iso(member.last_login),
        message=_license_sentence(app_id, evidence.license),
    )
    return result(answer, f"{quoted(member.full_name, 80)} ({username}): {answer.message}")


async def list_offline_licenses(
    ctx: Context[Desk, Any],
    app_id: AppId,
    limit: Annotated[int, Field(strict=True, ge=1, le=1000)] = 200,
) -> Annotated[CallToolResult, results.OfflineLicenses]:
    """List everybody whose license for a product is checked out. May take a minute."""
    portal = await desk_of(ctx).portal()
    offline: dict[str, results.OfflineLicense] = {}
    licensed: set[str] = set()
    async for page in portal.entitlements(app_id):
        for row in page:
            name = plain(row.get("username"), 128)
            licensed.add(name)
            if row.get("disconnected") is True:
                login = results.iso(row.get("lastLogin"))
                offline[name] = results.OfflineLicense(username=name, last_login=login)
        await ctx.report_progress(len(licensed), None, f"{len(licensed)} licenses read")
    shown = [offline[name] for name in sorted(offline)][:limit]
    answer = results.OfflineLicenses(
        offline=shown, total_offline=len(offline), total_licensed=len(licensed)
    )
    head = f"{len(offline)} of {len(licensed)} {PRODUCTS[app_id].title} licenses are checked out."
    more = [f"Only {len(shown)} are shown."] if len(shown) < len(offline) else []
    return result(answer, "\n".join([head, *more, *(o.username for o in shown)]))


def _license_sentence(app_id: AppId, state: LicenseState) -> str:
    title = PRODUCTS[app_id].title
    match state:
        case "offline":
            return f"{title} is checked out for offline use."
        case "not_offline" if PRODUCTS[app_id].reliable:
            return f"{title} is assigned, and not checked out: there is nothing to release."
        case "not_offline":
            return f"{title} is assigned, and not shown as checked out; that may be wrong."
        case "not_licensed":
            return f"{title} is not assigned to this member: there is nothing to release."
