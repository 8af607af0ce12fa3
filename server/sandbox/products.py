"""The products whose licenses members take offline, and the versions that know how to release them.

The thresholds are the heart of the hazard that the sandbox models: a portal older than a product's
`releasable_since` does not know its `appId`.
"""

from dataclasses import dataclass
from typing import Any

PRO = "arcgisprodesktop"
DRONE2MAP = "drone2map"
ALLSOURCE = "arcgisallsource"

Version = tuple[int, ...]

# Assumption: `appId` is understood on premises from 11.4; a page from 11.3 or later still lacks it.
APP_ID_SINCE: Version = (11, 4)


@dataclass(frozen=True, kw_only=True)
class Product:
    """One listing: `item_id` is what `content/listings/{itemId}` is asked about."""

    app_id: str
    title: str
    item_id: str
    entitlements: tuple[str, ...]
    seats: int
    releasable_since: Version


PRODUCTS: dict[str, Product] = {
    product.app_id: product
    for product in (
        Product(
            app_id=PRO,
            title="ArcGIS Pro",
            item_id="2d2a9c99bb2a43548c31cd8e32217af6",
            entitlements=("desktopAdvN", "spatialAnalystN", "networkAnalystN"),
            seats=5000,
            releasable_since=(10, 3),
        ),
        Product(
            app_id=DRONE2MAP,
            title="ArcGIS Drone2Map",
            item_id="a1b2fb5bb6a04cfa9fb9bbf5f3c3a1d7",
            # Assumption: the entitlement's name is the product's; no recorded reply shows it.
            entitlements=("drone2map",),
            seats=100,
            releasable_since=APP_ID_SINCE,
        ),
        Product(
            app_id=ALLSOURCE,
            # Assumption: title and entitlement name by analogy with the other two.
            title="ArcGIS AllSource",
            item_id="c70ee0b4a5a84d6f8dd6b3c1d2c6fe11",
            entitlements=("arcgisallsource",),
            seats=50,
            releasable_since=(11, 5),
        ),
    )
}


def parse_version(text: str) -> Version:
    """`"11.5.0"` as `(11, 5, 0)`, so that 10.10 comes after 10.9."""
    return tuple(int(part) for part in text.split("."))


def product_of(item_id: str) -> Product | None:
    return next((product for product in PRODUCTS.values() if product.item_id == item_id), None)


def purchases() -> list[dict[str, Any]]:
    """What the organisation bought: titles repeat, and one purchase has no listing.

    Assumption: repeated titles share one listing, since Esri's client takes the first match.
    """
    rows = [_purchase(product) for product in PRODUCTS.values()]
    repeated = _purchase(PRODUCTS[PRO]) | {"purchaseId": "user-type-extension"}
    without_listing = {
        "provision": _provision(item_id="f0c1d2e3a4b5968778695a4b3c2d1e0f", seats={})
    }
    return [without_listing, *rows, repeated]


def _purchase(product: Product) -> dict[str, Any]:
    seats = {name: {"num": product.seats} for name in product.entitlements}
    return {
        "listing": {"itemId": product.item_id, "title": product.title, "vendor": {"name": "Esri"}},
        "provision": _provision(item_id=product.item_id, seats=seats),
    }


def _provision(*, item_id: str, seats: dict[str, dict[str, int]]) -> dict[str, Any]:
    return {
        "itemId": item_id,
        "startDate": 1_735_689_600_000,
        "endDate": -1,
        "canDisconnect": bool(seats),
        "maxDisconnectDuration": -1,
        "orgEntitlements": {"maxUsers": -1, "entitlements": seats},
    }
