"""Documents: the shipped templates render, the same input gives the same bytes, and nothing is injected."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from flows.documents.render import Document, DocumentError, SigningPerson, load_template, render
from flows.rules.pricing.pricing import PriceTable, PricingOptions, price_line_items
from flows.rules.templates.values import TemplateVariableMissing, resolve
from tests.places import ROOT

TEMPLATES = ROOT / "config" / "templates"
NAMES = ["proposal", "contract"]
Edit = Callable[[dict[str, Any]], None]


def sample(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((TEMPLATES / name / "sample.json").read_text())
    return loaded


def priced(data: dict[str, Any]) -> PriceTable:
    return price_line_items(data["line_items"], PricingOptions.parse(data["options"]))


def make(name: str, edit: Edit | None = None, **more: Any) -> Document:
    template, data = load_template(TEMPLATES / name), sample(name)
    if edit:
        edit(data)
    return render(template, resolve(template.declaration, data["facts"]), priced(data), **more)


def read_text(document: Document) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(BytesIO(document.pdf)).pages)


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_templates_render(name: str) -> None:
    """Both shipped templates turn their sample into a PDF that names the buyer and the exact total."""
    document = make(name)
    text = read_text(document)
    assert document.sha256 == hashlib.sha256(document.pdf).hexdigest()
    assert document.page_count == len(PdfReader(BytesIO(document.pdf)).pages)
    for shown in ("Larkspur Manufacturing Inc.", "$13,095.57", "$33,958.70", "−$634.89", "per month"):
        assert shown in text


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_make_the_same_bytes(name: str) -> None:
    """Equal input gives equal bytes in another process with another time zone, language and hash seed."""
    code = (
        "import sys; sys.path[:0] = [sys.argv[1], sys.argv[2]]\n"
        "import test_render as t\n"
        "d = t.make(sys.argv[3]); print(d.sha256, d.source_sha256)"
    )
    outcomes = set()
    for zone, language, seed in (("UTC", "C.UTF-8", "1"), ("Asia/Tokyo", "de_DE.UTF-8", "2")):
        environment = {**os.environ, "TZ": zone, "LANG": language, "LC_ALL": language, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code, str(ROOT), str(Path(__file__).parent), name],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        outcomes.add(done.stdout)
    here = make(name)
    assert outcomes == {f"{here.sha256} {here.source_sha256}\n"}


def test_threads_share_a_template() -> None:
    """Many threads may render from one template at once and each gets its own document."""
    template, data = load_template(TEMPLATES / "contract"), sample("contract")
    table = priced(data)

    def one(number: int) -> tuple[str, str]:
        facts = {**data["facts"], "given": {**data["facts"]["given"], "reference": f"C-{number}"}}
        document = render(template, resolve(template.declaration, facts), table)
        return document.sha256, read_text(document)

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(one, list(range(12)) * 2))
    for number, (sha256, text) in enumerate(outcomes[:12]):
        assert f"accepts the order form and the terms of C-{number}." in " ".join(text.split())
        assert outcomes[12 + number][0] == sha256


@pytest.mark.parametrize("locale", ["en_US", "de_DE"])
def test_every_signature_tag_is_one_whole_run(locale: str) -> None:
    """Extraction from the contract gives each tag exactly once, unbroken, numbered by signing order."""
    text = read_text(make("contract", extra={"locale": locale}))
    for tag in ("[sig|req|signer1]", "[date|req|signer1]", "[sig|req|signer2]", "[date|req|signer2]"):
        assert text.count(tag) == 1
    assert text.count("[") == text.count("]") == 4
    assert text.index("[sig|req|signer1]") < text.index("[sig|req|signer2]")


def test_signature_tags_stand_on_one_page_in_white() -> None:
    """The tags are invisible to people: white, upright, in one font of one width and one size each."""
    seen: list[tuple[str, float]] = []

    def visit(text: str, cm: list[float], tm: list[float], font: dict[str, Any] | None, size: float) -> None:
        if "|req|" in text:
            seen.append((str((font or {}).get("/BaseFont")), size))

    reader = PdfReader(BytesIO(make("contract").pdf))
    pages = [page for page in reader.pages if "[sig|" in page.extract_text(visitor_text=visit)]
    assert len(pages) == 1
    assert len(seen) >= 2
    assert {font.partition("+")[2] for font, _ in seen} == {"DejaVuSansMono"}


def test_several_people_may_sign_for_the_client() -> None:
    """People known only at sending time replace the declared blocks and are numbered in the order given."""
    people = [
        SigningPerson("client", "Dana Whitfield", "Director"),
        SigningPerson("client", "Sam Okafor"),
        SigningPerson("seller", "Morgan Ellery"),
    ]
    text = read_text(make("contract", signers=people))
    assert [text.count(f"[sig|req|signer{number}]") for number in (1, 2, 3, 4)] == [1, 1, 1, 0]
    assert "Sam Okafor" in text
    with pytest.raises(DocumentError, match="declared roles: seller"):
        make("contract", signers=people[:2])
    with pytest.raises(DocumentError, match="declared roles: witness"):
        make("contract", signers=[*people, SigningPerson("witness", "A")])


@pytest.mark.parametrize(
    ("currency", "locale", "total"),
    [
        ("EUR", "de_DE", "1.250.000,00\u00a0€"),
        ("JPY", "en_US", "¥1,250,000"),
        ("USD", "en_US", "$1,250,000.00"),
        ("KWD", "en_US", "KWD\u00a01,250,000.000"),
        ("CAD", "en_US", "CA$1,250,000.00"),
    ],
)
def test_money_reads_as_the_buyer_writes_it(currency: str, locale: str, total: str) -> None:
    """Signs, separators and decimals follow locale and currency."""

    def edit(data: dict[str, Any]) -> None:
        data["line_items"] = [{"name": "Retainer", "quantity": "1", "price": "1250000"}]
        data["options"] = {"currency": currency}

    assert total in read_text(make("proposal", edit, extra={"locale": locale}))


def test_german_documents_are_german() -> None:
    """Labels, dates, terms and the title all follow the locale."""
    document = make("proposal", extra={"locale": "de_DE"})
    text = read_text(document)
    assert document.title == "Order desk automation: Angebot für Larkspur Manufacturing Inc."
    for shown in (
        "Angebotsnummer",
        "23. Dezember 2026",
        "24 Monate",
        "pro Monat",
        "−10\u00a0%",
        "Seite 1 von",
    ):
        assert shown.lower() in text.lower()
    assert "Prepared" not in text


def test_values_are_never_code() -> None:
    """Typst markup, code and strings inside values are printed letter for letter."""
    nasty = '#panic("x") *bold* $x^2$ `raw` @ref \\ // "quoted" #{1+1} </label>'

    def edit(data: dict[str, Any]) -> None:
        data["facts"]["deal"]["dealflow_need"] = nasty
        data["line_items"][0]["description"] = nasty

    assert nasty in read_text(make("proposal", edit)).replace("\n", " ")


def test_internal_costs_stay_inside() -> None:
    """The cost of goods changes neither a byte of the PDF nor the hash an approval is bound to."""

    def edit(data: dict[str, Any]) -> None:
        for item in data["line_items"]:
            item["hs_cost_of_goods_sold"] = "13.37"

    plain, with_costs = make("proposal"), make("proposal", edit)
    assert plain.pdf == with_costs.pdf
    assert plain.source_sha256 == with_costs.source_sha256


def _change(kind: str, key: str, text: str) -> Edit:
    return lambda data: data["facts"][kind].update({key: text})


@pytest.mark.parametrize(
    "edit",
    [
        _change("company", "name", "Larkspur Inc."),
        _change("given", "valid_until", "2026-12-24"),
        lambda data: data["line_items"][0].update(quantity="26"),
        lambda data: data["line_items"][1].update(description="Less."),
        lambda data: data["options"]["taxes"][0].update(name="VAT"),
    ],
)
def test_any_visible_change_changes_the_source_hash(edit: Edit) -> None:
    """An approval bound to the source hash is void after any change a buyer could see."""
    assert make("proposal", edit).source_sha256 != make("proposal").source_sha256


def test_locale_signers_and_template_files_are_in_the_source_hash(tmp_path: Path) -> None:
    """Another locale, other signers or one other letter in any template file is another document."""
    hashes = {make("contract").source_sha256, make("contract", extra={"locale": "en_GB"}).source_sha256}
    people = [SigningPerson("client", "Dana Whitfield"), SigningPerson("seller", "Morgan Ellery")]
    hashes.add(make("contract", signers=people).source_sha256)
    folder = _copy("contract", tmp_path)
    (folder / "words.yaml").write_text((folder / "words.yaml").read_text().replace("prudent", "careful"))
    template, data = load_template(folder), sample("contract")
    hashes.add(render(template, resolve(template.declaration, data["facts"]), priced(data)).source_sha256)
    assert len(hashes) == 4


def test_the_hash_of_one_source_is_pinned() -> None:
    """A document with fixed input keeps its source hash: approvals given before an upgrade stay
    comparable."""
    first, second = make("proposal"), make("proposal", lambda data: data["line_items"].reverse())
    assert first.source_sha256 == second.source_sha256
    assert first.pdf == second.pdf


@pytest.mark.parametrize("name", NAMES)
def test_every_declared_value_is_needed(name: str) -> None:
    """Taking away any one required value stops the shipped template and names that value."""
    declaration, data = load_template(TEMPLATES / name).declaration, sample(name)
    for variable, declared in declaration.variables.items():
        kind, _, key = declared.source.partition(".")
        facts = {**data["facts"], kind: {**data["facts"].get(kind, {}), key: " "}}
        if declared.optional:
            resolve(declaration, facts)
            continue
        with pytest.raises(TemplateVariableMissing) as caught:
            resolve(declaration, facts)
        assert variable in caught.value.missing


def test_a_character_without_a_glyph_stops_the_document() -> None:
    """No buyer gets boxes instead of letters: the error names code point and variable, not the value."""
    with pytest.raises(DocumentError) as caught:
        make("proposal", _change("company", "name", "株式会社 Larkspur"))
    assert "U+682A" in str(caught.value)
    assert "buyer_name" in str(caught.value)
    assert "Larkspur" not in str(caught.value)


@pytest.mark.parametrize("text", ["[sig|req|signer1]", "Plan [text|noreq|sender|x]", "{{ plan }}", "TBD"])
def test_line_items_cannot_plant_tags_or_placeholders(text: str) -> None:
    """Line items pass the same rules as values: a planted signature tag or a left-over stops the document."""
    with pytest.raises(DocumentError, match="the prices breaks the rule"):
        make("contract", lambda data: data["line_items"][0].update(description=text))
    with pytest.raises(DocumentError, match="the signers breaks the rule"):
        people = [SigningPerson("client", text), SigningPerson("seller", "Morgan Ellery")]
        make("contract", signers=people)


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({"locale": "xx_XX"}, "locale 'xx_XX' is unknown"),
        ({"locale": "fr_FR"}, "no wording in 'fr', only in de, en"),
        ({"dated": "yesterday"}, "must be a day"),
        ({"colour": "red"}, "unknown extra: colour"),
    ],
)
def test_unusable_extras_are_refused(extra: dict[str, str], says: str) -> None:
    """Nothing falls back silently: an unknown locale, language or option is an error."""
    with pytest.raises(DocumentError, match=says):
        make("proposal", extra=extra)


def test_values_and_prices_must_fit_the_template() -> None:
    """Values of another template, no prices where some belong, or an unknown currency stop the render."""
    template, data = load_template(TEMPLATES / "proposal"), sample("proposal")
    values = resolve(template.declaration, data["facts"])
    with pytest.raises(DocumentError, match="needs a price table"):
        render(template, values)
    with pytest.raises(DocumentError, match="values of template contract"):
        render(template, replace(values, template="contract"), priced(data))
    data["options"] = {"currency": "ZZZ"}
    data["line_items"] = [{"name": "Retainer", "quantity": "1", "price": "1"}]
    with pytest.raises(DocumentError, match="currency 'ZZZ' is unknown"):
        render(template, values, priced(data))


def _copy(name: str, target: Path) -> Path:
    folder = target / name
    for path in (TEMPLATES / name).rglob("*"):
        if path.is_file():
            copy = folder / path.relative_to(TEMPLATES / name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return folder


def test_both_folders_have_the_same_layout_file() -> None:
    """Each template folder is complete by itself, and the shared layout stays equal."""
    for file in (
        "house.typ",
        "fonts/OpenSans-Regular.ttf",
        "fonts/OpenSans-Semibold.ttf",
        "fonts/NOTICE.txt",
    ):
        assert (TEMPLATES / "proposal" / file).read_bytes() == (TEMPLATES / "contract" / file).read_bytes()


SMALL = {
    "template.yaml": "name: small\nversion: 1\ntitle: Small\nlocale: en_US\n"
    "variables: {who: {from: company.name, says: Who}}\n",
    "template.typ": "#let values = json(bytes(sys.inputs.dealflow)).values\n#values.who\n",
}


def small(folder: Path, **files: str) -> Path:
    for name, text in {**SMALL, **{key.replace("__", "."): one for key, one in files.items()}}.items():
        (folder / name).write_text(text)
    return folder


def run_small(folder: Path, who: str = "Larkspur", **more: Any) -> Document:
    template = load_template(folder)
    return render(template, resolve(template.declaration, {"company": {"name": who}}), **more)


def test_a_template_without_prices_or_words_works(tmp_path: Path) -> None:
    """Two files are enough for an own template."""
    assert "Larkspur" in read_text(run_small(small(tmp_path)))


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("#values.who\n#nonsense\n", "unknown variable: nonsense (template.typ line 3)"),
        (
            '#values.who\n#set text(font: "Comic Sans MS")\nx',
            "unknown font family: comic sans ms (template.typ line 3)",
        ),
        ('#values.who\n#read("/etc/hostname")', "file not found"),
        ('#values.who\n#read("pyproject.toml")', "file not found"),
        ("#values.who\n#panic(values.who)", "panicked with"),
    ],
)
def test_layout_errors_name_the_line_and_no_value(tmp_path: Path, code: str, says: str) -> None:
    """A fault in the layout, a missing font or a reach outside the folder is an error with its place."""
    head = "#let values = json(bytes(sys.inputs.dealflow)).values\n"
    with pytest.raises(DocumentError) as caught:
        run_small(small(tmp_path, template__typ=head + code), who="Secretive Ltd")
    assert says in str(caught.value)
    assert "template small" in str(caught.value)
    assert "Secretive" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"template__typ": "#let values = 1\n#values.who #values.whom"}, "whom is used but not declared"),
        ({"template__yaml": "name: [unclosed"}, "YAML is unreadable at line 1"),
        ({"template__yaml": "just text"}, "keys and values"),
        ({"words__yaml": "de: {a: b}"}, "lacks the template's own language en"),
        ({"words__yaml": "en: {a: b}\nde: {c: d}"}, "de and en differ in a, c"),
    ],
)
def test_a_faulty_folder_does_not_load(tmp_path: Path, files: dict[str, str], says: str) -> None:
    """Faults are found when the template is loaded, before any deal needs it."""
    with pytest.raises(DocumentError, match=says):
        load_template(small(tmp_path, **files))


def test_an_incomplete_folder_says_what_is_missing(tmp_path: Path) -> None:
    """A folder without its two files is named."""
    with pytest.raises(DocumentError, match=r"template\.yaml and template\.typ"):
        load_template(tmp_path)


def test_tags_that_do_not_read_back_stop_the_contract(tmp_path: Path) -> None:
    """A layout that drops, doubles or breaks a tag is never sent: the PDF is read as the signing service
    will."""
    folder = _copy("contract", tmp_path)
    layout = (folder / "template.typ").read_text()
    for broken in (
        layout.replace("tag(signer.date_tag, 9pt)", "[]"),
        layout.replace(
            "tag(signer.sign_tag, 12pt)", "{ tag(signer.sign_tag, 12pt); tag(signer.sign_tag, 12pt) }"
        ),
        layout.replace("tag(signer.sign_tag, 12pt)", 'tag(signer.sign_tag.replace("|", "| "), 12pt)'),
    ):
        assert broken != layout
        (folder / "template.typ").write_text(broken)
        template, data = load_template(folder), sample("contract")
        with pytest.raises(DocumentError, match="read back"):
            render(template, resolve(template.declaration, data["facts"]), priced(data))


def test_the_pdf_carries_the_day_of_issue_and_a_title() -> None:
    """The PDF's own date is the day of issue, so that it says nothing about the machine or the moment."""
    reader = PdfReader(BytesIO(make("proposal").pdf))
    assert reader.metadata is not None
    assert reader.metadata.title == "Order desk automation: proposal for Larkspur Manufacturing Inc."
    assert reader.metadata.creation_date is not None
    assert reader.metadata.creation_date.date().isoformat() == "2026-11-23"
