"""A vendor on a loopback socket that answers by script, so that network faults are real."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest


@dataclass
class Heard:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> object:
        return json.loads(self.body)


@dataclass
class Act:
    """The vendor's action on one request; `how` is reply, drop, hang, truncate, drip or reset."""

    how: str = "reply"
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)


class ScriptedVendor:
    """Performs its acts in order, then repeats the last one. `heard` are all requests, `connections` is a
    count."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.acts: list[Act] = [Act()]
        self.connections = 0
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def play(self, *acts: Act) -> None:
        self.acts = list(acts)

    def reply(self, status: int, body: object = None, **headers: str) -> None:
        raw = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
        self.play(Act("reply", status, raw, {k.replace("_", "-"): v for k, v in headers.items()}))

    def close(self) -> None:
        self._stop.set()
        self._listener.close()
        for sock in self._open:
            sock.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            while (heard := _read(sock)) is not None:
                self.heard.append(heard)
                act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
                if not self._act(sock, act):
                    break
        except OSError:
            pass
        finally:
            sock.close()

    def _act(self, sock: socket.socket, act: Act) -> bool:
        if act.how == "drop":
            return False
        if act.how == "hang":
            self._stop.wait(20)
            return False
        head = f"HTTP/1.1 {act.status} Scripted\r\nContent-Length: {len(act.body)}\r\n"
        names = {name.lower() for name in act.headers}
        if "content-type" not in names:
            head += "Content-Type: application/json\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in act.headers.items())
        sock.sendall(head.encode() + b"\r\n")
        if act.how == "truncate":
            sock.sendall(act.body[: len(act.body) // 2])
            return False
        if act.how == "drip":
            for at in range(len(act.body)):
                sock.sendall(act.body[at : at + 1])
                if self._stop.wait(0.1):
                    return False
            return True
        sock.sendall(act.body)
        return True


def _read(sock: socket.socket) -> Heard | None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65_536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", "0"))
    while len(body) < length:
        piece = sock.recv(65_536)
        if not piece:
            return None
        body += piece
    method, path, _ = first.split(" ", 2)
    return Heard(method, path, headers, body)


@pytest.fixture
def vendor() -> Iterator[ScriptedVendor]:
    scripted = ScriptedVendor()
    yield scripted
    scripted.close()


@pytest.fixture
def closed_port() -> str:
    """An address on loopback where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    time.sleep(0)
    return f"http://127.0.0.1:{port}"
