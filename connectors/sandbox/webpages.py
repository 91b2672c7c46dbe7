"""HTML pages for people who look into a stand-in: one look, everything escaped, no scripts, nothing fetched."""

from functools import cache
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

_SHARED = Path(__file__).parent / "paper"
_HEADERS = {
    # A page that shows strangers' text: even if an escape were missed, nothing would run or be fetched.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def page(folder: Path, template: str, /, *, status: int = 200, **data: Any) -> HTMLResponse:
    """The `template` of `folder/paper`, or of the shared folder, filled with `data`.

    Raises jinja2.UndefinedError when the template names something that is not in `data`.
    """
    text = _environment(folder / "paper").get_template(template).render(**data)
    return HTMLResponse(text, status_code=status, headers=_HEADERS)


@cache
def _environment(folder: Path) -> Environment:
    return Environment(
        loader=FileSystemLoader([folder, _SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
