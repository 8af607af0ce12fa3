"""Answers that broke something once, or would if a check were dropped; every run tries them."""

from server.releases.models import AppId
from tests.fuzz.portal import ITEM, NAME, TRUE, Given, Kind
from tests.fuzz.values import dumped
from tests.portal.portals import TOKEN

Plan = dict[Kind, list[Given]]


def purchased(item_id: object) -> Given:
    return Given(dumped({"purchases": [{"listing": {"itemId": item_id, "title": "ArcGIS Pro"}}]}))


def led_to(address: bytes) -> Given:
    return Given(status=302, headers=((b"location", address),))


REPLIES: list[tuple[str, Plan]] = [
    ("member", {"sign_in": [Given(b'{"token":"\\ud800"}')]}),
    ("sign_in", {"sign_in": [Given(dumped(TRUE["sign_in"])[:-1])]}),
    ("sign_in", {"sign_in": [Given(b'{"error":{"code":400,"message":"Invalid password."}}')]}),
    ("member", {"member": [Given(dumped({"status": "error", "messages": ["x" * 999] * 10}))]}),
    ("license", {"purchases": [purchased(ITEM * 3_000)]}),
    ("member", {"member": [led_to(b"mailto:x")]}),
    ("member", {"member": [led_to(f"https://{TOKEN}@h/".encode())]}),
    ("member", {"member": [led_to(f"https://h:{TOKEN}/".encode())]}),
    ("member", {"member": [Given(dumped({"username": TOKEN}))]}),
    ("member", {"member": [Given(dumped({"username": NAME.upper()}))]}),
    ("member", {"member": [Given(dumped({"username": 5}))]}),
    ("facts", {"facts": [Given(dumped({**TRUE["facts"], "user": {"role": ["org_admin"]}}))]}),
    ("health", {"health": [Given(b"{}", headers=((b"set-cookie", b"a=\xff"),))]}),
    ("search", {"search": [Given(b'{"results":[],"total":true}')]}),
    ("facts", {"facts": [Given(dumped({**TRUE["facts"], "enterpriseVersion": "11.5.0x"}))]}),
    ("release", {"release": [Given(b'{"status":"success"}', 202)]}),
    ("release", {"release": [Given(dumped({"status": TOKEN}))]}),
    ("release", {"release": [Given(dumped({"error": f"{TOKEN[:9]}\u200b{TOKEN[9:]}"}))]}),
]
OUTCOMES: list[tuple[AppId, Plan]] = [
    ("arcgisprodesktop", {"release": [Given(b'{"error":null,"status":"success"}')]}),
    ("drone2map", {"facts": [Given(dumped({**TRUE["facts"], "enterpriseVersion": None}))]}),
    ("arcgisallsource", {"facts": [Given(dumped({**TRUE["facts"], "enterpriseVersion": "11.4"}))]}),
]
TOLD: list[tuple[str, Plan]] = [
    (
        "list_offline_licenses",
        {
            "listing": [
                Given(dumped({"userEntitlements": [{"disconnected": True, "lastLogin": at}]}))
            ]
        },
    )
    for at in (10**400, 10**17)
]
