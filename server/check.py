"""Tries the settings against the portal, step by step, and changes nothing there.

It signs in once, reads who the portal is, what the account may do and which products it lists, and
stops at the first step that does not hold, with what to do about it.
"""

from collections.abc import AsyncIterator, Mapping

import anyio
import click

from server import settings
from server.errors import LicenseServerError, NoClearAnswer, PortalRefused, SettingsError
from server.portal.client import PortalClient
from server.releases import policy
from server.releases.models import PRODUCTS
from server.settings import Settings

Step = tuple[str, str]


def main(environment: Mapping[str, str]) -> int:
    """Print a table of what holds; return 0, or 1 where something does not."""
    return anyio.run(_run, environment)


async def _run(environment: Mapping[str, str]) -> int:
    done = 0
    try:
        async for name, detail in _steps(environment):
            click.echo(f"{click.style('ok', fg='green')}      {name:<15} {detail}")
            done += 1
    except LicenseServerError as error:
        name = _NAMES[done] if done < len(_NAMES) else "Listings"
        click.echo(f"{click.style('failed', fg='red')}  {name:<15} {error}")
        return 1
    click.echo("Everything holds. Nothing was changed.")
    return 0


_NAMES = ("Settings", "Policy", "Connection", "Sign-in", "Portal", "Privilege", "Listings")


async def _steps(environment: Mapping[str, str]) -> AsyncIterator[Step]:
    chosen = settings.load(environment)
    yield "Settings", chosen.portal_url
    rules = policy.load(chosen.policy_file, shared=chosen.ledger_is_shared)
    yield "Policy", f"{chosen.policy_file or 'the defaults'}; {_summary(rules)}"
    async with PortalClient(chosen) as portal:
        yield "Connection", await _connection(portal, chosen)
        await portal.sign_in()
        yield "Sign-in", f"as {chosen.portal_username}" if chosen.portal_username else "by token"
        facts = await portal.facts()
        if not facts.is_enterprise:
            raise SettingsError("PORTAL_URL is ArcGIS Online, which has no such operation.")
        yield "Portal", f"{facts.name or 'unnamed'}, ArcGIS Enterprise {facts.version_text}"
        if not facts.may_release:
            raise SettingsError(
                'The account lacks the privilege "Manage licenses" (before Enterprise 10.8, the '
                "default administrator role)."
            )
        yield "Privilege", "the account may release licenses"
        yield "Listings", await _listings(portal)


async def _connection(portal: PortalClient, chosen: Settings) -> str:
    secure = "TLS verified" if chosen.portal_url.startswith("https") else "on this machine"
    try:
        await portal.health()
    except (PortalRefused, NoClearAnswer) as error:
        raise SettingsError(
            f"The portal's administration (/portaladmin) does not answer: {error} The web adaptor "
            "must be configured with administrative access."
        ) from error
    return f"{secure}; /portaladmin answers"


async def _listings(portal: PortalClient) -> str:
    found = await portal.products()
    if not found:
        raise SettingsError(
            "The portal lists no product whose license can be checked out, or the account may not "
            "see the listings."
        )
    missing = [p.title for p in PRODUCTS.values() if p.app_id not in found]
    listed = ", ".join(PRODUCTS[app_id].title for app_id in found)
    return listed + (f" (not: {', '.join(missing)})" if missing else "")


def _summary(rules: policy.Policy) -> str:
    if rules.read_only:
        return "read_only, no release is possible"
    limits = rules.limits
    return f"at most {limits.requester_per_hour} an hour each, {limits.portal_per_day} a day"
