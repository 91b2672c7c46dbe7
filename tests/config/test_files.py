"""Files that operators edit: parsed values, and the place in error texts."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.files import ConfigFileError, line_of, read_yaml


def _file(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "process.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_mapping_is_read(tmp_path: Path) -> None:
    """Text, numbers, booleans and lists are read as written, also outside ASCII."""
    path = _file(tmp_path, "name: Müller\nstay: true\nother: False\nn: 1\nf: 0.5\nlist: [a, b]\nnothing:\n")
    assert read_yaml(path) == {
        "name": "Müller",
        "stay": True,
        "other": False,
        "n": 1,
        "f": 0.5,
        "list": ["a", "b"],
        "nothing": None,
    }


def test_norway_is_a_country(tmp_path: Path) -> None:
    """`NO`, `on` and `yes` are texts, not booleans."""
    path = _file(tmp_path, "country: [DE, NO, ON]\nno: yes\nOff: off\n")
    assert read_yaml(path) == {"country": ["DE", "NO", "ON"], "no": "yes", "Off": "off"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\n\tb: 2\n", r"line 2, column 1: not valid YAML: .*indent with spaces"),
        ("a: 1\nb: c: d\n", r"line 2, column 5: .*a text with a colon in it needs quotes"),
        ("a: 1\nb 2\nc: 3\n", r"line 2, column 1: .*a key is followed by a colon and a space"),
        ("a: 1\nb: [1\nc: 2\n", r"line 2, column 4: .*a bracket that begins here is not closed"),
        ("a: 1\nb: 'x\nc: 2\n", r"line 2, column 4: .*a quote that begins here is not closed"),
        ("a: 1\nb: %x\n", r"line 2, column 4: .*begins with this character needs quotes"),
        ("a:\n  b: 1\n c: 2\n", r"line 3, column 2: .*check the indentation"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", r"line 4, column 3: .*'c' is here for the second time"),
        ("a: !!python/object/apply:os.system ['true']\n", r"line 1, column 4: not valid YAML"),
        ("- a\n", "expected a mapping at the top, found list"),
        ("", "expected a mapping at the top, found NoneType"),
        ("a: \x00\n", "not valid YAML"),
        (b"a: \xff\n", "is not UTF-8"),
    ],
)
def test_errors_name_file_and_place(tmp_path: Path, text: str | bytes, says: str) -> None:
    """Any fault of the file: one line with its name, the line and column if known, and the fault."""
    path = _file(tmp_path, text)
    with pytest.raises(ConfigFileError, match=says) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A missing file, or a folder, is reported with the reason."""
    for path, why in ((tmp_path / "gone.yaml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigFileError, match=f"{path}: cannot be read .{why}"):
            read_yaml(path)
    assert line_of(tmp_path / "gone.yaml", ("a",)) is None


def test_the_line_of_a_place(tmp_path: Path) -> None:
    """A place in keys and list positions is found as a line; unknown steps are skipped."""
    path = _file(
        tmp_path,
        "name: x\nstages:\n  - key: a\n    exit_criteria:\n      - evidence: {is: set}\n  - key: b\n",
    )
    assert line_of(path, ("name",)) == 1
    assert line_of(path, ("stages", 1)) == 6
    assert line_of(path, ("stages", 0, "exit_criteria", 0, "evidence", "property", "is")) == 5
    assert line_of(path, ("stages", 7, "label")) == 2
    assert line_of(path, ()) == 1
    assert line_of(_file(tmp_path, "a: [1\n"), ("a",)) is None
    assert line_of(_file(tmp_path, ""), ("a",)) is None


@given(st.text() | st.binary())
def test_any_file_is_a_mapping_or_a_config_file_error(
    tmp_path_factory: pytest.TempPathFactory, text: str | bytes
) -> None:
    """No file causes another error."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    path = _file(tmp_path_factory.getbasetemp(), raw)
    try:
        assert isinstance(read_yaml(path), dict)
    except ConfigFileError:
        line_of(path, ("a", 0))
