"""Access, rate limits, and the form of refusals."""

import time

import httpx
import pytest

DEAL = {"dealname": "Press line", "dealstage": "qualifiedtobuy"}


def test_call_without_token_is_refused(hub):
    """A call without credentials gets 401 INVALID_AUTHENTICATION."""
    answer = httpx.get(f"{hub.url}/crm/objects/2026-09/deals", trust_env=False)
    assert answer.status_code == 401
    assert answer.json()["category"] == "INVALID_AUTHENTICATION"


@pytest.mark.parametrize("header", ["Bearer bad-1", "Bearer", "Basic abc"])
def test_token_that_is_no_good_is_refused(hub, header):
    """Refused, empty and non-bearer credentials get 401 with a correlation id."""
    answer = hub.api.get("/crm/objects/2026-09/deals", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.json()["correlationId"]


def test_unknown_path_is_an_html_page_not_json(hub):
    """An unknown address answers with the edge's HTML page, which a client must survive."""
    answer = hub.api.get("/crm/objects/2026-09/deals/1/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


def test_version_that_was_never_released_is_404(hub):
    """Only released versions are served."""
    assert hub.api.get("/crm/objects/2026-04/deals").status_code == 404


def test_wrong_method_is_405(hub):
    """A method that a path does not take is refused."""
    assert hub.api.put("/crm/objects/2026-09/deals", json={}).status_code == 405


@pytest.mark.parametrize("content", [b"{", b"[]", b"", b'"x"'])
def test_body_that_is_no_json_object_is_400(hub, content):
    """Bad JSON is refused with the vendor's body and nothing is stored."""
    answer = hub.api.post("/crm/objects/2026-09/deals", content=content)
    assert answer.status_code == 400
    assert "Invalid input JSON" in answer.json()["message"]
    assert hub.control("GET", "state")["counts"]["deals"] == 0


def test_unknown_object_type_has_no_category(hub):
    """The body for an unknown object type carries no category (recorded answer)."""
    answer = hub.api.get("/crm/objects/2026-09/gadgets")
    assert answer.status_code == 400
    assert answer.json()["message"] == "Unable to infer object type from: gadgets"
    assert "category" not in answer.json()


def test_every_name_of_a_type_leads_to_the_same_records(hub):
    """Plural, singular and type id are the same type."""
    ident = hub.api.post("/crm/objects/2026-09/0-3", json={"properties": DEAL}).json()["id"]
    for name in ("deals", "deal", "0-3", "DEAL"):
        assert hub.api.get(f"/crm/objects/2026-03/{name}/{ident}").status_code == 200


def test_rate_limit_headers_count_down(hub):
    """Answers say how much of the window is left."""
    hub.control("PUT", "limits", burst=50)
    first = hub.api.get("/crm/objects/2026-09/deals").headers
    second = hub.api.get("/crm/objects/2026-09/deals").headers
    assert first["X-HubSpot-RateLimit-Max"] == "50"
    assert first["X-HubSpot-RateLimit-Interval-Milliseconds"] == "10000"
    left = int(first["X-HubSpot-RateLimit-Remaining"]) - int(second["X-HubSpot-RateLimit-Remaining"])
    assert left == 1


def test_search_answers_carry_no_rate_limit_headers(hub):
    """Only a limiter on the client's side can pace searches."""
    answer = hub.api.post("/crm/objects/2026-09/deals/search", json={})
    assert answer.status_code == 200
    assert not [h for h in answer.headers if "ratelimit" in h.lower()]


def test_burst_limit_refuses_with_the_odd_429_body(hub):
    """Past the burst limit: 429 with policyName, which is not the normal error shape; another app goes on."""
    hub.control("PUT", "limits", burst=5)
    hub.api.headers["Authorization"] = "Bearer burst-app"
    try:
        codes = [hub.api.get("/crm/owners/2026-09").status_code for _ in range(6)]
        refused = hub.api.get("/crm/owners/2026-09")
    finally:
        hub.api.headers["Authorization"] = "Bearer test-token"
    assert codes == [200] * 5 + [429]
    assert refused.json()["policyName"] == "TEN_SECONDLY_ROLLING"
    assert refused.json()["errorType"] == "RATE_LIMIT"
    assert "category" not in refused.json()
    assert refused.headers["X-HubSpot-RateLimit-Remaining"] == "0"
    assert hub.api.get("/crm/owners/2026-09").status_code == 200


def test_search_limit_is_per_second_and_over_all_types(hub):
    """Five searches a second for the account, whatever they are about; a second later they go on."""
    kinds = ["deals", "contacts", "companies", "notes", "tasks", "deals", "contacts"]
    for _ in range(20):  # on a busy machine seven calls may take longer than the second they are about
        hub.fresh()
        hub.control("PUT", "limits", search_per_s=5)
        began = time.monotonic()
        codes = [hub.api.post(f"/crm/objects/2026-09/{k}/search", json={}).status_code for k in kinds]
        if time.monotonic() - began < 1:
            break
    assert codes[:5] == [200] * 5
    assert 429 in codes[5:]
    time.sleep(1.05)
    assert hub.api.post("/crm/objects/2026-09/deals/search", json={}).status_code == 200


def test_association_calls_have_a_limit_of_their_own(hub):
    """The association limit is reached while the rest of the API still answers."""
    hub.control("PUT", "limits", associations=2)
    path = "/crm/associations/2026-09/deals/contacts/labels"
    assert [hub.api.get(path).status_code for _ in range(3)] == [200, 200, 429]
    assert hub.api.get("/crm/owners/2026-09").status_code == 200


def test_daily_limit_holds_until_midnight_of_the_account(hub):
    """The daily budget comes back with the next day of the account's time zone."""
    hub.control("PUT", "limits", daily=1)
    hub.api.get("/crm/owners/2026-09")
    refused = hub.api.get("/crm/owners/2026-09")
    assert (refused.status_code, refused.json()["policyName"]) == (429, "DAILY")
    hub.advance(24 * 3600)
    assert hub.api.get("/crm/owners/2026-09").status_code == 200


def test_requests_are_counted_by_template(hub):
    """The request log counts operations, not addresses, and keeps no token."""
    for ident in ("1", "2"):
        hub.api.get(f"/crm/objects/2026-09/deals/{ident}")
    log = hub.control("GET", "requests")
    assert log["counts"]["GET /crm/objects/{version}/{object_type}/{object_id}"] == 2
    assert "test-token" not in str(log)


def test_planted_fault_speaks_the_vendors_language(hub):
    """A planted status carries HubSpot's body for it."""
    hub.control("POST", "faults", kind="status", path="/owners", status=429)
    answer = hub.api.get("/crm/owners/2026-09")
    assert (answer.status_code, answer.json()["policyName"]) == (429, "TEN_SECONDLY_ROLLING")
    assert hub.api.get("/crm/owners/2026-09").status_code == 200


def test_oauth_token_expires_after_thirty_minutes(hub):
    """A token from the token endpoint is refused as expired half an hour later; a refresh helps."""
    form = {"grant_type": "refresh_token", "refresh_token": "refresh-1", "client_id": "app"}
    wrong = hub.api.post("/oauth/2026-03/token", data={**form, "client_secret": "no"})
    assert wrong.status_code == 401
    good = {**form, "client_secret": "sandbox-client-secret"}
    issued = hub.api.post("/oauth/2026-03/token", data=good).json()
    assert issued["expires_in"] == 1800
    bearer = {"Authorization": f"Bearer {issued['access_token']}"}
    assert hub.api.get("/crm/owners/2026-09", headers=bearer).status_code == 200
    hub.advance(1801)
    refused = hub.api.get("/crm/owners/2026-09", headers=bearer)
    assert (refused.status_code, refused.json()["category"]) == (401, "EXPIRED_AUTHENTICATION")
    asked = {"token": issued["access_token"], "client_id": "app", "client_secret": "x"}
    assert hub.api.post("/oauth/2026-03/token/introspect", data=asked).json() == {"active": False}


def test_account_says_who_it_is_and_what_was_used(hub):
    """Portal facts and today's usage, in the account's time zone."""
    details = hub.api.get("/account-info/2026-09/details").json()
    assert details["portalId"] == hub.control("GET", "state")["portal_id"]
    assert details["companyCurrency"] == "EUR"
    usage = hub.api.get("/account-info/2026-09/api-usage/daily/private-apps").json()["results"][0]
    assert usage["currentUsage"] >= 1
    assert usage["resetsAt"][11:13] in ("22", "23")  # midnight in Berlin


def test_owner_id_is_not_the_user_id(hub):
    """hubspot_owner_id takes the owner's id; his user id is refused."""
    owner = hub.api.get("/crm/owners/2026-09").json()["results"][0]
    ok = {"properties": {**DEAL, "hubspot_owner_id": owner["id"]}}
    assert hub.api.post("/crm/objects/2026-09/deals", json=ok).status_code == 201
    wrong = {"properties": {**DEAL, "hubspot_owner_id": owner["userId"]}}
    assert hub.api.post("/crm/objects/2026-09/deals", json=wrong).status_code == 400
    by_user = hub.api.get(f"/crm/owners/2026-09/{owner['userId']}?idProperty=userId").json()
    assert by_user["id"] == owner["id"]
    assert hub.api.get("/crm/owners/2026-09?archived=true").json()["results"][0]["archived"] is True


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        ("crm.objects.deals.write", "POST", "/crm/objects/2026-09/deals"),
        ("crm.objects.deals.read", "POST", "/crm/objects/2026-09/0-3/search"),
        ("crm.objects.contacts.read", "GET", "/crm/objects/2026-09/notes"),
        ("crm.schemas.deals.write", "POST", "/crm/properties/2026-09/deals"),
        ("crm.objects.owners.read", "GET", "/crm/owners/2026-09"),
        ("files", "POST", "/files/2026-09/files"),
    ],
)
def test_missing_scope_is_named(hub, scope, method, path):
    """Without the scope a call is 403 MISSING_SCOPES and the answer names the scope; others go on."""
    hub.control("PUT", "portal-rules", missing_scopes=[scope])
    answer = hub.api.request(method, path, json={} if method == "POST" else None)
    assert answer.status_code == 403
    assert answer.json()["category"] == "MISSING_SCOPES"
    assert answer.json()["errors"][0]["context"]["requiredGranularScopes"] == [scope]
    assert hub.api.get("/crm/objects/2026-09/companies").status_code == 200
