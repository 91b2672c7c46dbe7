"""Our clients on one side, the stand-ins in a process of their own on the other."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

_SERVE = """
import asyncio
from connectors.sandbox.serve import SandboxOptions, serve
asyncio.run(serve(SandboxOptions(hubspot_client_secret="s3cret", dropbox_sign_api_key="test-key")))
"""


@dataclass(frozen=True)
class StandIn:
    """One vendor's stand-in and its controls."""

    url: str
    control: httpx.Client

    def put(self, what: str, /, **body: Any) -> Any:
        answer = self.control.put(f"/_sandbox/{what}", json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def post(self, what: str, /, **body: Any) -> Any:
        answer = self.control.post(f"/_sandbox/{what}", json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def get(self, what: str, /, **params: Any) -> Any:
        answer = self.control.get(f"/_sandbox/{what}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="session")
def addresses() -> Iterator[dict[str, str]]:
    environment = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
    with subprocess.Popen([sys.executable, "-c", _SERVE], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.wait(20)


def _stand_in(url: str) -> Iterator[StandIn]:
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as control:
        control.delete("/_sandbox/faults")
        yield StandIn(url, control)
        control.delete("/_sandbox/faults")


@pytest.fixture
def hub(addresses: dict[str, str]) -> Iterator[StandIn]:
    yield from _stand_in(addresses["hubspot"])


@pytest.fixture
def sign(addresses: dict[str, str]) -> Iterator[StandIn]:
    yield from _stand_in(addresses["dropbox_sign"])


@dataclass
class Receiver:
    """Takes deliveries and keeps them as they came."""

    url: str = ""
    got: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    answer: bytes = b"Hello API Event Received"

    async def first(self, within_s: float = 60.0) -> tuple[str, str, dict[str, str], bytes]:
        async with asyncio.timeout(within_s):
            while not self.got:
                await asyncio.sleep(0.02)
        return self.got[0]

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.got.append((method, path, headers, body))
        length = str(len(self.answer)).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + length + b"\r\n\r\n" + self.answer
        )
        await writer.drain()
        writer.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    one = Receiver()
    server = await asyncio.start_server(one.take, "127.0.0.1", 0)
    one.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield one
    server.close()
