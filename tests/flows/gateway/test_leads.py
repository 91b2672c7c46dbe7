"""Leads over real HTTP: authentication, accepted leads, and answers to leads with errors."""

import hashlib
import hmac
import json
from typing import Any

import pytest

BEARER = {"Authorization": "Bearer test-leads-token"}
LEAD = {"email": "Ada@Buyer.Example", "first_name": "Ada", "last_name": "Byron", "message": "Sign\nfaster"}


async def post(gate: Any, *, headers: Any = BEARER, **more: Any) -> Any:
    """With the token, unless said otherwise."""
    return await gate.post("/leads", headers=headers, **more)


@pytest.mark.parametrize(
    "body",
    [
        {"json": LEAD},
        {"data": LEAD},
        {"files": {k: (None, v) for k, v in LEAD.items()}},
        {"content": json.dumps(LEAD), "headers": {**BEARER, "Content-Type": "text/plain"}},
        {"content": json.dumps(LEAD)},
    ],
    ids=["json", "form", "multipart", "json as text", "json untyped"],
)
async def test_json_and_forms_become_one_clean_lead(gate: Any, body: dict[str, Any]) -> None:
    """However a web form sends it: 202 with the lead's key, and the same clean fields in the inbox."""
    answer = await post(gate, **body)

    assert answer.status_code == 202, answer.text
    (row,) = gate.rows("inbox")
    lead = row["content"]["lead"]
    assert answer.json() == {"lead": lead["key"], "status": "stored"}
    assert lead["email"] == "ada@buyer.example" and lead["domain"] == "buyer.example"
    assert lead["message"].split() == ["Sign", "faster"] and row["kind"] == "lead.received"


def signed(body: bytes, secret: str = "lead-secret", prefix: str = "sha256=") -> dict[str, str]:
    """HMAC of the body."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Dealflow-Signature": prefix + digest, "Content-Type": "application/json"}


@pytest.mark.gate(DEALFLOW_LEADS_HMAC_SECRET="lead-secret")
@pytest.mark.parametrize("prefix", ["sha256=", ""])
async def test_an_hmac_of_the_body_is_enough(gate: Any, prefix: str) -> None:
    """Form tools that sign need no token."""
    body = json.dumps(LEAD).encode()

    assert (await post(gate, content=body, headers=signed(body, prefix=prefix))).status_code == 202


BODY = json.dumps(LEAD).encode()


@pytest.mark.gate(DEALFLOW_LEADS_HMAC_SECRET="lead-secret")
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic test-leads-token"},
        {"Authorization": "test-leads-token"},
        {"X-Dealflow-Signature": ""},
        signed(BODY, "another"),
        signed(BODY + b" "),
        {"Authorization": "Bearer t\u00e9st".encode("latin-1").decode("latin-1")},
    ],
)
async def test_nobody_unproven_gets_in(gate: Any, headers: dict[str, str]) -> None:
    """No token, a wrong one, a wrong signature, one of another body: 401, only a count is stored."""
    raw = {k: v.encode("latin-1") for k, v in headers.items()}
    answer = await post(gate, content=BODY, headers=raw)

    assert answer.status_code == 401 and gate.rows("deliveries") == gate.rows("inbox") == []
    assert gate.rows("counts")[0]["name"] == "refused.lead.401"


async def test_the_token_is_not_kept(gate: Any) -> None:
    """The stored headers of a lead do not contain the credentials."""
    await post(gate, json=LEAD, headers={**BEARER, "Cookie": "session=1", "User-Agent": "form"})

    kept = gate.rows("deliveries")[0]["headers"]
    assert kept["user-agent"] == "form" and not {"authorization", "cookie"} & set(kept)
    assert b"test-leads-token" not in gate.database.read_bytes()


NOT_TAKEN = [
    ({}, "email"),
    ({"first_name": "Ada"}, "email"),
    ({"email": "", "phone": ""}, "email"),
    ({"email": "   "}, "email"),
    ({"email": None, "phone": None}, "email"),
    ({"email": "not an address"}, "email"),
    ({"email": "a@b"}, "email"),
    ({"email": "a@b.example, c@d.example"}, "email"),
    ({"email": "ada@buyer.example", "phone": "12"}, "phone"),
    ({"email": ["a@b.example"]}, "email"),
    ({"email": {"value": "a@b.example"}}, "email"),
    ({**LEAD, "company": ["x"]}, "company"),
    ({**LEAD, "message": "x" * 5001}, "message"),
    ({**LEAD, "company": "x" * 501}, "company"),
    ({**LEAD, "extra": {"deep": 1}}, "extra"),
    ({**LEAD, "company": "broken \ud800 text"}, "company"),
    ({**LEAD, "message": "\udfff"}, "message"),
    ({**LEAD, "odd \ud800 name": "x"}, None),
]


@pytest.mark.parametrize(("fields", "field"), NOT_TAKEN)
async def test_what_is_wrong_is_named(gate: Any, fields: dict[str, Any], field: str | None) -> None:
    """422 with the field and what to send instead; the value itself is not repeated."""
    answer = await post(
        gate, content=json.dumps(fields), headers={**BEARER, "Content-Type": "application/json"}
    )

    assert answer.status_code == 422, answer.text
    if field is not None:
        assert answer.json()["field"] == field
    assert answer.json()["error"] and "x" * 20 not in answer.text
    assert [row["state"] for row in gate.rows("inbox")] in ([], ["dead"])


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "application/json"),
        (b"{nope", "application/json"),
        (b"[]", "application/json"),
        (b'"x"', "application/json"),
        (b"null", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"[" * 300_000, "application/json"),
        (b'{"email": 1' + b"1" * 5000 + b"}", "application/json"),
        (b"--x\r\nnope", "multipart/form-data; boundary=x"),
        (b"x", "multipart/form-data"),
        (b"&" * 500_000, "application/x-www-form-urlencoded"),
        (b"&".join(b"f%d=1" % n for n in range(2000)), "application/x-www-form-urlencoded"),
    ],
)
async def test_what_cannot_be_read_is_reported(gate: Any, body: bytes, kind: str) -> None:
    """Bytes that are not a lead, from a verified sender: 422, and kept as a dead letter with the reason."""
    answer = await post(gate, content=body, headers={**BEARER, "Content-Type": kind})

    assert answer.status_code == 422, answer.text
    told = answer.json()
    kept = [(row["state"], row["reason"]) for row in gate.rows("inbox")]
    assert kept == ([("dead", told["error"])] if told["field"] == "body" else [])
    assert [row["body"] for row in gate.rows("deliveries")] == [body] * len(kept)


@pytest.mark.parametrize(
    "fields",
    [
        {"email": "ada@buyer.example", "first_name": "Zoë", "company": "株式会社テスト", "message": "👍 ñ"},
        {"email": "ada@buyer.example", "company": "A\u0000B"},
        {"phone": "+49 (0)30 / 123-456", "name": "Ada Byron"},
        {"email": "ada@buyer.example", "budget": 24000, "newsletter": True, "age": 1.5, "nothing": None},
        {"email": "ada@buyer.example", "message": "x" * 5000, "company": "y" * 500},
        {"email": "ada@buyer.example", "budget": float("1e30")},
    ],
)
async def test_unusual_but_fine_leads_are_taken(gate: Any, fields: dict[str, Any]) -> None:
    """Any language, only a phone, numbers and flags, the longest allowed texts."""
    answer = await post(gate, json=fields)

    assert answer.status_code == 202, answer.text
    lead = gate.rows("inbox")[0]["content"]["lead"]
    assert lead["first_name"] == fields.get("first_name", "Ada" if "name" in fields else "")
    assert lead["message"] == fields.get("message", "")


async def test_the_same_idempotency_key_twice_is_one_lead(gate: Any) -> None:
    """A form tool that repeats a submission under its key makes one lead, even if it changed a word."""
    for message in ("first", "again"):
        answer = await post(
            gate, json={**LEAD, "message": message}, headers={**BEARER, "Idempotency-Key": "form-1"}
        )
        assert answer.status_code == 202
    other = await post(gate, json=LEAD, headers={**BEARER, "Idempotency-Key": "form-2"})

    assert other.status_code == 202 and len(gate.rows("inbox")) == 2


async def test_the_same_submission_without_a_key_is_one_lead_a_day(gate: Any) -> None:
    """A double click is one lead; a different message is another."""
    for _ in range(2):
        await post(gate, json=LEAD)
    await post(gate, json={**LEAD, "message": "something else"})

    rows = gate.rows("inbox")
    assert len(rows) == 2 and len({r["lane"] for r in rows}) == 1  # one person: one after the other


@pytest.mark.parametrize("chunked", [False, True])
async def test_too_large(gate: Any, chunked: bool) -> None:
    """Over 1 MiB: 413."""

    async def pieces() -> Any:
        for _ in range(17):
            yield b" " * 65_536

    answer = await post(gate, content=pieces() if chunked else b" " * 1_114_112)

    assert answer.status_code == 413 and gate.rows("deliveries") == []


async def test_only_posts(gate: Any) -> None:
    """Other methods are refused."""
    for path in ("/leads", "/webhooks/hubspot", "/webhooks/dropbox-sign"):
        assert (await gate.get(path)).status_code == 405
