"""OAuth: issues, introspects and revokes tokens, with forms.

Sources: facts section 1 (dated token endpoints; introspection and revocation are POST forms; tokens live 30
minutes) and the models of hubspot-sdk 0.1.0a9 for the fields. Which code was given is not checked: there is no
page where an administrator could grant one.
"""

from typing import Any
from urllib.parse import parse_qs

from connectors.sandbox.hubspot_server.errors import correlation_id
from connectors.sandbox.hubspot_server.web import Call, Site

TOKEN_LIVES_S = 1_800
SCOPES = ("crm.objects.contacts.read", "crm.objects.contacts.write", "crm.objects.deals.read",
          "crm.objects.deals.write", "oauth")  # fmt: skip


def mount(site: Site) -> None:
    """Add the routes."""
    site.serve("POST", ["/oauth/v1/token", "/oauth/{version}/token"], token)
    site.serve("POST", ["/oauth/{version}/token/introspect"], introspect)
    site.serve("POST", ["/oauth/{version}/token/revoke"], revoke)


async def token(call: Call) -> tuple[int, Any]:
    """An access token for 30 virtual minutes, from a code, a refresh token or the app's own credentials."""
    form = _form(call)
    grant = form.get("grant_type", "")
    if grant not in ("authorization_code", "refresh_token", "client_credentials"):
        return 400, _error("BAD_GRANT_TYPE", "missing or unknown grant type")
    if form.get("client_secret") != call.portal.events.client_secret:
        return 401, _error("BAD_CLIENT_SECRET", "missing or invalid client secret")
    if grant == "refresh_token" and not form.get("refresh_token", "").startswith("refresh-"):
        return 400, _error("BAD_REFRESH_TOKEN", "missing or invalid refresh token")
    bench = call.portal.bench
    access, refresh = f"oauth-{bench.new_hex(32)}", f"refresh-{bench.new_hex(32)}"
    own = grant == "client_credentials"
    call.portal.tokens[access] = {
        "expires_ms": bench.clock.now_ms() + TOKEN_LIVES_S * 1000,
        "client_id": form.get("client_id", ""),
    }
    answer: dict[str, Any] = {"token_type": "bearer", "access_token": access, "expires_in": TOKEN_LIVES_S}
    if call.version != "v1":
        answer["token_use"] = "client_credentials" if own else "access_token"
        answer["hub_id"] = call.portal.portal_id
    if not own:
        answer["refresh_token"] = form.get("refresh_token") or refresh
    return 200, answer


async def introspect(call: Call) -> tuple[int, Any]:
    """Whether a token is active, its lifetime and scopes. An unknown token is only reported as inactive."""
    given = _form(call).get("token", "")
    issued, portal = call.portal.tokens.get(given), call.portal
    left_ms = issued["expires_ms"] - portal.bench.clock.now_ms() if issued else 0
    if issued is None or left_ms <= 0:
        return 200, {"active": False}
    return 200, {
        "token": given,
        "active": True,
        "token_type": "access",
        "token_use": "access_token",
        "app_id": portal.app_id,
        "hub_id": portal.portal_id,
        "user_id": portal.owners[0].user_id,
        "client_id": issued["client_id"],
        "scopes": list(SCOPES),
        "is_private_distribution": True,
        "expires_in": left_ms // 1000,
        "signed_access_token": _signed(call, issued["expires_ms"]),
    }


async def revoke(call: Call) -> tuple[int, Any]:
    """Revoke a token: it counts as expired from now on."""
    issued = call.portal.tokens.get(_form(call).get("token", ""))
    if issued is not None:
        issued["expires_ms"] = 0
    return 204, None


def _form(call: Call) -> dict[str, str]:
    try:
        return {k: v[0] for k, v in parse_qs(call.raw.decode()).items()}
    except UnicodeDecodeError:
        return {}


def _signed(call: Call, expires_ms: int) -> dict[str, Any]:
    """The structure of HubSpot's own token; its signatures are empty here."""
    portal = call.portal
    return {
        "expiresAt": expires_ms,
        "scopes": " ".join(SCOPES),
        "hubId": portal.portal_id,
        "userId": portal.owners[0].user_id,
        "installingUserId": portal.owners[0].user_id,
        "appId": portal.app_id,
        "signature": "",
        "newSignature": "",
        "scopeToScopeGroupPks": "",
        "trialScopes": "",
        "trialScopeToScopeGroupPks": "",
        "hublet": "eu1",
        "isUserLevel": False,
        "isServiceAccount": False,
        "isPrivateDistribution": True,
    }


def _error(status: str, message: str) -> dict[str, Any]:
    return {"status": status, "message": message, "correlationId": correlation_id()}
