"""What our own client and sender put on the wire, byte for byte, against the vendor's OpenAPI description."""

import asyncio
import json
import re
from urllib.parse import parse_qsl

import pytest
from starlette.requests import Request

from connectors.dropbox_sign.client import DropboxSignClient
from connectors.dropbox_sign.sender import ContractSender
from connectors.dropbox_sign.sending import RoleSigner, SendRequest, Signer, TemplateRequest
from connectors.http.errors import ConnectorError

JANE, OLA = "jane@buyer.example", "ola@supplier.example"
# Fields that the official SDK 2.0.0 adds by itself, from the variant of the description that SDKs are made from.
ADDED_BY_THE_SDK = {"is_qualified_signature", "ignore_text_tags_extraction_errors"}


def operation(spec, seen):
    """The described call that a request is: its path template, its entry. None where nothing is described."""
    path = seen.path.removeprefix("/v3")
    fits = []
    for template, item in spec["paths"].items():
        pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
        if re.fullmatch(pattern, path) and seen.method.lower() in item:
            fits.append((template.count("{"), template, item[seen.method.lower()]))
    return min(fits)[1:] if fits else (None, None)


def typed(text, schema):
    """A text of a query or form as the description's type has it."""
    match schema.get("type"):
        case "boolean" if text in ("true", "1"):
            return True
        case "boolean" if text in ("false", "0"):
            return False
        case "integer" if re.fullmatch(r"-?\d+", text):
            return int(text)
        case "array" | "object":
            return json.loads(text)
    return text


async def body_of(seen, schema):
    """A request's body as one JSON value: forms are read by the description's types, files become their names."""
    if "json" in seen.content_type:
        return json.loads(seen.body)
    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", seen.content_type.encode())]}

    async def receive():
        return {"type": "http.request", "body": seen.body, "more_body": False}

    found = {}
    async with Request(scope, receive).form() as form:
        for key, value in form.multi_items():
            name = key.partition("[")[0]
            if isinstance(value, str):
                found[name] = typed(value, schema["properties"].get(name, {}))
            else:
                found.setdefault(name, []).append(value.filename)
    return found


async def judged(spec, faults, strange, seen):
    """Everything that the description holds against one request."""
    template, entry = operation(spec, seen)
    if entry is None:
        return [f"{seen.method} {seen.path}: not described"]
    known = {p["name"]: p for p in entry.get("parameters", []) if p["in"] == "query"}
    wrong = []
    for name, text in parse_qsl(seen.query, keep_blank_values=True):
        if name not in known:
            wrong.append(f"{template}: query {name} is not described")
        else:
            schema = known[name]["schema"]
            wrong += [f"{template}?{name}: {w}" for w in faults(schema, typed(text, schema))]
    content = entry.get("requestBody", {}).get("content")
    if content is None:
        return wrong + ([f"{template}: takes no body"] if seen.body else [])
    media = seen.content_type.partition(";")[0]
    if media not in content:
        return [*wrong, f"{template}: {media} is not described"]
    name = content[media]["schema"]["$ref"].rsplit("/", 1)[1]
    body = await body_of(seen, spec["components"]["schemas"][name])
    wrong += [f"{template}: {w}" for w in faults(name, body)]
    return wrong + [f"{template}: {s} is not described" for s in strange(name, body) - ADDED_BY_THE_SDK]


@pytest.fixture
async def client(standing):
    async with DropboxSignClient(standing.api_key, base_url=f"{standing.url}/v3") as one:
        yield one


@pytest.fixture
def sender(standing):
    return ContractSender(standing.api_key, f"{standing.url}/v3")


async def sent(standing, sender, contract_path, **change):
    """A contract that is out."""
    fields = {
        "title": "Contract",
        "subject": "Please sign",
        "message": "Dear all",
        "signers": (Signer("Jane Buyer", JANE, 0), Signer("Ola Nordmann", OLA, 1)),
        "pdf": contract_path.read_bytes(),
        "filename": "contract.pdf",
        "metadata": {"dealflow_token": "a1" * 16, "deal_id": "42"},
        "test_mode": True,
        "cc": ("legal@buyer.example",),
        "expires_at": standing.now_s() + 9 * 86_400,
        **change,
    }
    made = await asyncio.to_thread(sender.send, SendRequest(**fields))
    await asyncio.to_thread(
        standing.until, lambda: "signature_request_sent" in standing.types(made.signature_request_id)
    )
    return made.signature_request_id


async def everything(standing, client, sender, contract_path):
    """Every call of both, with all their arguments."""
    request_id = await sent(standing, sender, contract_path)
    template = standing.get("/_sandbox/state")["templates"]["Service contract"]
    described = standing.get(f"/v3/template/{template}")["template"]
    roles = [r["name"] for r in described["signer_roles"]]
    fields = {f["name"]: "x" for f in described["documents"][0]["custom_fields"]}
    await asyncio.to_thread(
        sender.send_with_template,
        TemplateRequest(
            template, "T", "S", "M", tuple(RoleSigner(r, r, f"{n}@b.example") for n, r in enumerate(roles)),
            fields=fields, metadata={"dealflow_token": "b2" * 16}, test_mode=True,
        ),
    )  # fmt: skip
    shown = await client.get_request(request_id)
    await client.list_requests(query="metadata:" + "a1" * 16, page=1, page_size=50, account_id="all")
    standing.advance(3 * 3600)
    await client.remind(request_id, JANE, "Jane Buyer")
    expires_at = standing.now_s() + 5 * 86_400
    signature = shown.signatures[0].id
    await client.update(request_id, signature, email="new@buyer.example", name="New", expires_at=expires_at)
    await client.download_pdf(request_id)
    await client.account()
    await client.api_app(standing.get("/_sandbox/state")["apps"][0]["client_id"])
    await asyncio.to_thread(sender.set_account_callback, f"{standing.url}/other")
    await client.cancel(request_id)


async def test_every_request_of_ours_fits_the_description(
    standing, client, sender, contract_path, spec, faults, strange
):
    """Method, path, query, media type and body of each call that our client and sender can make."""
    await everything(standing, client, sender, contract_path)
    ours = [s for s in standing.seen if not s.path.startswith("/v3/template/")]  # that one was the test's own
    wrong = [w for s in ours for w in await judged(spec, faults, strange, s)]
    assert wrong == []
    reached = {operation(spec, s)[0] + " " + s.method for s in ours}
    assert len(reached) == 11
    public = {n for n in dir(DropboxSignClient) if not n.startswith("_")} - {"aclose", "in_lane", "read_only"}
    assert len(public) == 8, "a new call of our client: make it in everything() and count it here"


async def test_the_judge_finds_what_is_wrong(standing, spec, faults, strange):
    """An unknown path, query, field and a value of a wrong type are each found: the test above can fail."""
    call = standing.control.request
    call("GET", "/v3/signature_request/no/such/thing")
    call("GET", "/v3/signature_request/list?page_size=many&colour=red")
    call("POST", "/v3/signature_request/remind/1", json={"email": JANE})
    call("POST", "/v3/signature_request/send", data={"title": "x", "metadata": "[1]", "colour": "red"},
         files={"files[0]": ("a.pdf", b"%PDF")})  # fmt: skip
    call("POST", "/v3/signature_request/cancel/1", json={"why": "not"})
    found = [await judged(spec, faults, strange, s) for s in standing.seen]
    assert found[0] == ["GET /v3/signature_request/no/such/thing: not described"]
    assert len(found[1]) == 2
    assert "query colour is not described" in found[1][1]
    assert {"email_address" in w or "email is not described" in w for w in found[2]} == {True}
    assert len(found[2]) == 2
    assert len(found[3]) == 2
    assert any("metadata" in w for w in found[3])
    assert found[4] == ["/signature_request/cancel/{signature_request_id}: takes no body"]


async def test_a_refused_send_is_one_request(standing, sender, contract_path):
    """A refusal is one call on the wire: no layer repeats it."""
    standing.limits(test=0)
    with pytest.raises(ConnectorError):
        await sent(standing, sender, contract_path)
    assert [s.path for s in standing.seen] == ["/v3/signature_request/send"]
