"""A closed SQLite ledger: a fingerprint of its content, and a compact copy of its file (for rehearsals)."""

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any


def fingerprint(path: Path) -> str:
    """SHA-256 over all tables by name, rows in primary key order, values in one form. The ledger must be closed."""
    digest = hashlib.sha256()
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        tables = [name for (name,) in db.execute("select name from sqlite_master where type = 'table'")]
        for table in sorted(t for t in tables if not t.startswith("sqlite_")):
            columns = db.execute(f"pragma table_info('{table}')").fetchall()
            names = [c[1] for c in columns]
            keys = [c[1] for c in sorted(columns, key=lambda c: c[5]) if c[5]] or names
            listed, ordered = (", ".join(f'"{n}"' for n in some) for some in (names, keys))
            digest.update(f"{table}({listed})\n".encode())
            for row in db.execute(f'select {listed} from "{table}" order by {ordered}'):  # noqa: S608
                digest.update(json.dumps([_spelt(v) for v in row], ensure_ascii=False).encode() + b"\n")
    db.close()
    return digest.hexdigest()


def compact_copy(path: Path, target: Path) -> None:
    """Copy the ledger to one file without gaps: the same content gives the same bytes. Replaces `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    db = sqlite3.connect(path)
    try:
        db.execute("VACUUM INTO ?", (str(target),))
    finally:
        db.close()


def _spelt(value: Any) -> Any:
    return {"hex": value.hex()} if isinstance(value, bytes) else value
