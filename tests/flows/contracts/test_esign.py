"""The seam for e-signature: who names the vendor, and the whole protocol against the stand-in."""

import ast
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.http.errors import GoneError, NotFoundError, RejectedError, WouldWriteError
from connectors.http.pacing import Lane
from flows.contracts import esign, send_contract
from flows.contracts.esign import ESign, nothing_to_check
from tests.places import ROOT

VENDOR = re.compile(r"drop.?box|hello.?sign", re.I)
WIRING = {"flows/services.py", "flows/trials/rehearsal/desk.py"}
"""Where the vendor is chosen and built."""
HELD_BY_OTHERS = [
    r"settings\.dropbox_sign_\w+",  # settings fields
    r'settings\.require\((?:"\w+", )*"dropbox_sign_api_key"\)',
    r"DEALFLOW_DROPBOX_SIGN_\w+",
    r"/webhooks/dropbox-sign",  # the route and its name
    r'name="dropbox_sign"',
]
"""Names that other people's files, bookmarks and dashboards hold."""
STAND_INS = {
    "flows/cli/run.py",  # options of `dealflow sandbox`
    "flows/trials/demo.py",
    "flows/trials/rehearsal/world.py",
    "flows/trials/rehearsal/signers.py",
}
"""They start or drive the vendor's stand-in."""
WORDS_FOR_PEOPLE = {
    "flows/cli/": "help",
    "flows/prefect_flows.py": "descriptions in the Prefect UI",
    "flows/operations/doctor.py": "the name of a part",
    "flows/provision/plan.py": "the description of a HubSpot property",
    "flows/rules/handbook/": "the handbook",
    "flows/rules/criteria/": "the process file's reference",
    "flows/rules/process/": "the process file's reference",
    "flows/rules/templates/": "the vendor's text tags, as a source",
    "flows/trials/": "what a rehearsal or demo says",
    "flows/__init__.py": "the reading order",
}
_IN_WORDS = re.compile(r"\bDropbox Sign\b|\bdropbox sign\b")


def _named_in(path: Path) -> list[str]:
    """The lines of a module that name the vendor although nothing allows it."""
    name = path.relative_to(ROOT).as_posix()
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        for allowed in HELD_BY_OTHERS:
            line = re.sub(allowed, "", line)
        if any(name.startswith(room) for room in WORDS_FOR_PEOPLE):
            line = _IN_WORDS.sub("", line)
        if VENDOR.search(line):
            found.append(f"{name}:{number}: {line.strip()}")
    return found


def test_only_wiring_settings_and_words_name_the_vendor() -> None:
    """A second vendor is a connector and a line of wiring: no module of the flows knows which one it is."""
    named: list[str] = []
    for path in sorted((ROOT / "flows").rglob("*.py")):
        if path.relative_to(ROOT).as_posix() not in WIRING | STAND_INS:
            named += _named_in(path)
    assert named == []


def test_only_wiring_imports_the_connector() -> None:
    """Not even inside a function."""
    importers = set()
    for path in (ROOT / "flows").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if any(module.startswith("connectors.dropbox_sign") for module in modules):
                importers.add(path.relative_to(ROOT).as_posix())
    assert importers == WIRING


def test_the_grep_finds_a_name() -> None:
    """The test above can fail: each way of naming the vendor is seen, and words are seen where none are allowed."""
    for line in ("s.dropbox_sign.send()", "import connectors.dropbox_sign", "# HelloSign", "DropboxSign()"):
        assert VENDOR.search(_IN_WORDS.sub("", line)), line
    assert VENDOR.search("at Dropbox Sign") and not VENDOR.search(_IN_WORDS.sub("", "at Dropbox Sign"))


def test_each_write_of_the_protocol_takes_a_check() -> None:
    """No write can leave without the caller having said what is checked directly before it."""
    tree = ast.parse(Path(esign.__file__).read_text())
    (protocol,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "ESign")
    calls = {n.name: n for n in protocol.body if isinstance(n, ast.AsyncFunctionDef)}
    reads = {"find", "read", "page", "download", "account"}
    writes = {"send", "cancel", "remind", "set_callback_url"}
    assert set(calls) == reads | writes
    for name, call in calls.items():
        required = {
            a.arg for a, d in zip(call.args.kwonlyargs, call.args.kw_defaults, strict=True) if d is None
        }
        assert ("before_send" in required) == (name in writes), name


@pytest.fixture
async def service(desk: Any) -> ESign:
    return desk.s.esign


async def test_the_life_of_a_request(world: Any, desk: Any, sales: Any, service: ESign) -> None:
    """Sent, found by its token, read, listed, reminded, downloaded, signed: all through the protocol."""
    request_id = await _contract_out(world, desk, sales)
    token = (await service.read(request_id)).metadata["dealflow_token"]
    world.advance(120)  # the search index lags

    search = await service.find(token, since=world.now() - timedelta(minutes=5))
    assert (search.request_id, search.complete) == (request_id, True)
    assert (await service.find("ff" * 16, since=world.now())).request_id is None
    page = await service.in_lane(Lane.BULK).page(1)
    assert request_id in {r.id for r in page.requests} and page.pages == 1
    request = await service.read(request_id)
    first, second = request.signatures
    assert (first.status_code, first.order, second.order) == ("awaiting_signature", 0, 1)
    world.advance(3700)
    await service.remind(request_id, first.email or "", first.name, before_send=nothing_to_check)
    with pytest.raises(RejectedError):
        await service.remind(request_id, first.email or "", first.name, before_send=nothing_to_check)
    assert (await service.read(request_id)).signatures[0].last_reminded_at is not None
    for signer in request.signatures:
        world.sign_act(request_id, signer.email, "sign")
    world.advance(60)
    assert (await service.read(request_id)).is_complete
    assert (await service.download(request_id)).startswith(b"%PDF")


async def _contract_out(world: Any, desk: Any, sales: Any) -> str:
    """The request of a contract that waits for signatures."""
    deal_id = await sales.deal("closing")
    await desk.do(send_contract, "contract.due", deal_id)
    request_id: str = world.requests(deal_id)[0]["signature_request_id"]
    await sales.opened(request_id)
    return request_id


async def test_cancel(world: Any, desk: Any, sales: Any, service: ESign) -> None:
    """A request that is out is cancelled, once: nobody can sign it any more. An unknown one is said to be unknown."""
    request_id = await _contract_out(world, desk, sales)

    await service.cancel(request_id, before_send=nothing_to_check)
    world.advance(1)

    with pytest.raises(GoneError):
        await service.read(request_id)
    with pytest.raises((GoneError, RejectedError)):
        await service.cancel(request_id, before_send=nothing_to_check)
    with pytest.raises(NotFoundError):
        await service.cancel("0" * 40, before_send=nothing_to_check)


async def test_a_signed_request_is_not_cancelled(world: Any, desk: Any, sales: Any, service: ESign) -> None:
    """The vendor refuses, and the contract stays signed."""
    request_id = await _contract_out(world, desk, sales)
    for signer in (await service.read(request_id)).signatures:
        world.sign_act(request_id, signer.email, "sign")
    world.advance(1)

    with pytest.raises(RejectedError):
        await service.cancel(request_id, before_send=nothing_to_check)
    assert (await service.read(request_id)).is_complete


async def test_a_cancel_that_is_not_wanted_any_more(
    world: Any, desk: Any, sales: Any, service: ESign
) -> None:
    """What the check raises directly before it leaves comes back, and the request stays open; as in a dry run."""
    request_id = await _contract_out(world, desk, sales)

    class Changed(Exception):
        pass

    async def before_send() -> None:
        raise Changed

    with pytest.raises(Changed):
        await service.cancel(request_id, before_send=before_send)
    with pytest.raises(WouldWriteError):
        await service.read_only().cancel(request_id, before_send=nothing_to_check)
    world.advance(1)
    assert (await service.read(request_id)).signatures[0].status_code == "awaiting_signature"
    assert world.calls("sign", "/cancel") == []
