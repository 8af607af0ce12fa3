"""One exchange with the portal: over TLS that is always verified, bounded in time and size.

Whatever goes wrong ends as one typed error that says whether anything may have left. Certificates
are verified by the system's trust store and `PORTAL_CA_BUNDLE`; that cannot be switched off. No
redirect is followed, so that no token reaches another host.
"""

import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import urlsplit

import anyio
import httpx
import truststore

from server import __version__
from server.errors import NoClearAnswer, PortalUnreachable, SettingsError
from server.portal.replies import MAX_BYTES, Json, Reply, read, without
from server.settings import Settings
from server.text import plain

CONNECT_SHARE = 0.5
_SECRETS = ("token", "password")


class Connection:
    """The HTTP side of one portal. `referer` is what a token is bound to."""

    def __init__(
        self, settings: Settings, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._url = settings.portal_url
        self._timeout = settings.portal_timeout
        # A header is ASCII, so a host in another alphabet is named there as the network names it.
        self.referer = self._url if self._url.isascii() else str(httpx.URL(self._url))
        self._http = httpx.AsyncClient(
            verify=True if transport is not None else _tls(settings),
            transport=transport,
            trust_env=not settings.is_local,
            follow_redirects=False,
            # All that counts is in the form, and a cookie may be one that cannot be sent back.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            # Connecting ends before the whole does, else nobody knows that nothing was sent.
            timeout=httpx.Timeout(self._timeout, connect=self._timeout * CONNECT_SHARE),
            headers={"Referer": self.referer, "User-Agent": f"arcgis-license-mcp/{__version__}"},
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def exchange(self, path: str, form: dict[str, str]) -> Json:
        """Send a form to a path of the portal, once, and return the object that it answers with.

        Raises:
            PortalUnreachable: nothing left. NoClearAnswer: it may have been carried out.
            PortalRefused: the portal answered no.
        """
        secrets = tuple(form[name] for name in _SECRETS if form.get(name))
        try:
            with anyio.fail_after(self._timeout):
                reply = await self._post(f"{self._url}{path}", {**form, "f": "json"})
            return read(reply, secrets, shown="password" not in form)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise PortalUnreachable(_why_unreachable(error)) from error
        except (httpx.ProxyError, httpx.UnsupportedProtocol) as error:
            raise PortalUnreachable(
                f"The proxy does not let it through: {plain(error)}."
            ) from error
        except (TimeoutError, httpx.TimeoutException) as error:
            raise NoClearAnswer(
                f"The portal gave no answer in {self._timeout:g} s (PORTAL_TIMEOUT)."
            ) from error
        except httpx.InvalidURL as error:
            # httpx reads where a redirect leads, even one that is not followed.
            raise NoClearAnswer("The portal's answer leads to an impossible address.") from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            why = plain(without(plain(error), secrets))
            raise NoClearAnswer(
                f"The connection broke off before the answer was complete ({why}).",
                again=True,
            ) from error

    async def _post(self, url: str, form: dict[str, str]) -> Reply:
        async with self._http.stream("POST", url, data=form) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_BYTES:
                    break
            leads_to = _host(response.headers.get("location", ""))
            return Reply(response.status_code, bytes(body), leads_to)


def _host(location: str) -> str:
    try:
        return urlsplit(location).netloc.rpartition("@")[2] or "this host"
    except ValueError:
        return "an address that makes no sense"


def _tls(settings: Settings) -> ssl.SSLContext:
    context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if settings.portal_ca_bundle is not None:
            context.load_verify_locations(cafile=settings.portal_ca_bundle)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"PORTAL_CA_BUNDLE: not a PEM file: {plain(error)}") from error
    if settings.portal_client_key is not None and settings.portal_client_cert is None:
        raise SettingsError("PORTAL_CLIENT_KEY: needs PORTAL_CLIENT_CERT as well")
    try:
        if settings.portal_client_cert is not None:
            # Without a password OpenSSL would ask for one, on the stdin that MCP speaks over.
            context.load_cert_chain(
                settings.portal_client_cert, settings.portal_client_key, password=""
            )
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            "PORTAL_CLIENT_CERT or PORTAL_CLIENT_KEY: cannot be used (they must belong together, "
            f"and the key have no pass phrase): {plain(error)}"
        ) from error
    return context


def _why_unreachable(error: httpx.TransportError) -> str:
    text = plain(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return (
            f"The portal's certificate is not trusted ({text}). Give the authority that signed it "
            "as PORTAL_CA_BUNDLE; verification cannot be switched off."
        )
    return f"The portal cannot be reached ({text}). Check PORTAL_URL, the network and the proxy."
