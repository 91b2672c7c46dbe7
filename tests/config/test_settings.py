"""Settings: where values come from, what is refused, and that no text repeats a value."""

import itertools
import os
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

import config.settings
from config.settings import PREFIX, Settings, SettingsError, load_settings, unknown_names

EXAMPLE = Path(config.settings.__file__).with_name("env.example")
PLANTED = "Pl4nted-S3cret"


def _load(**values: str) -> Settings:
    return load_settings({PREFIX + name.upper(): value for name, value in values.items()})


def test_without_any_value_the_defaults_hold() -> None:
    """An empty environment gives the defaults, with no secret set."""
    settings = load_settings({})
    assert settings == Settings()
    assert settings.hubspot_token is None
    assert settings.worker_lease_s == 120


def test_values_become_what_they_mean() -> None:
    """Numbers, booleans, lists, pairs and paths are read from text."""
    settings = _load(
        gateway_port="9000",
        contract_looks_s="1, 2.5",
        hubspot_api_versions="crm=2026-09, files = 2026-03",
        dropbox_sign_callback_keys="old, older ,",
        dropbox_sign_test_mode="false",
        process_file="/etc/dealflow/process.yaml",
        leads="off",
    )
    assert settings.gateway_port == 9000
    assert settings.contract_looks_s == [1, 2.5]
    assert settings.hubspot_api_versions == {"crm": "2026-09", "files": "2026-03"}
    assert [key.get_secret_value() for key in settings.dropbox_sign_callback_keys] == ["old", "older"]
    assert settings.dropbox_sign_test_mode is False
    assert settings.process_path == Path("/etc/dealflow/process.yaml")
    assert settings.leads == "off"


@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_empty_is_unset(empty: str, tmp_path: Path) -> None:
    """An empty or blank value counts as unset: an empty key never verifies anything."""
    (tmp_path / "empty").write_text(empty)
    for values in ({"leads_token": empty}, {"leads_token_file": str(tmp_path / "empty")}):
        settings = _load(gateway_port=empty, **values)
        assert settings.leads_token is None
        assert settings.gateway_port == 8080
        with pytest.raises(SettingsError, match="DEALFLOW_LEADS_TOKEN is not set"):
            settings.require("leads_token")


def test_a_secret_from_a_file(tmp_path: Path) -> None:
    """NAME_FILE names a file that holds the value; the line end at its end does not count."""
    (tmp_path / "token").write_text(f"{PLANTED}\n")
    settings = _load(hubspot_token_file=str(tmp_path / "token"))
    assert settings.hubspot_token == SecretStr(PLANTED)
    settings.require("hubspot_token")


@pytest.mark.parametrize("kind", ["missing", "folder", "not text"])
def test_an_unreadable_secret_file_stops_the_start(kind: str, tmp_path: Path) -> None:
    """A secret file that cannot be read is named by its setting; nothing of it is shown."""
    path = tmp_path / "token"
    if kind == "folder":
        path.mkdir()
    elif kind == "not text":
        path.write_bytes(PLANTED.encode() + b"\xff\xfe")
    with pytest.raises(
        SettingsError, match="DEALFLOW_HUBSPOT_TOKEN_FILE names a file that cannot be read"
    ) as caught:
        _load(hubspot_token_file=str(path))
    assert PLANTED not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_both_ways_at_once_is_refused(tmp_path: Path) -> None:
    """A setting given directly and as a file: it is refused."""
    (tmp_path / "token").write_text("a")
    with pytest.raises(SettingsError, match="both set"):
        _load(hubspot_token="b", hubspot_token_file=str(tmp_path / "token"))


def test_the_environment_outranks_the_env_file(tmp_path: Path) -> None:
    """`.env` provides what the environment does not, directly or by file."""
    (tmp_path / "token").write_text("from file")
    env_file = tmp_path / ".env"
    env_file.write_text(
        f"DEALFLOW_HUBSPOT_TOKEN_FILE={tmp_path / 'token'}\n"
        "DEALFLOW_GATEWAY_PORT=9001\nDEALFLOW_WORK_POOL='from .env'\nOTHER=1\nDEALFLOW_OPS_USER\n"
    )
    environ = {"DEALFLOW_HUBSPOT_TOKEN": "direct", "DEALFLOW_WORK_POOL": "", "DEALFLOW_GATEWAY_PORT": "9002"}
    settings = load_settings(environ, env_file)
    assert settings.hubspot_token == SecretStr("direct")
    assert (settings.work_pool, settings.gateway_port, settings.ops_user) == ("from .env", 9002, "ops")
    assert load_settings({}, env_file).hubspot_token == SecretStr("from file")
    assert load_settings({}, tmp_path / "not there") == Settings()


def test_by_default_it_is_the_process_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments: os.environ, and `.env` in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    (tmp_path / ".env").write_text("DEALFLOW_OPS_USER=from-file\nDEALFLOW_WORK_POOL=from-file\n")
    monkeypatch.setenv("DEALFLOW_WORK_POOL", "from-environment")
    settings = load_settings()
    assert (settings.ops_user, settings.work_pool) == ("from-file", "from-environment")


def test_an_unreadable_env_file_is_one_clear_line(tmp_path: Path) -> None:
    """A `.env` that is not text is reported without its content."""
    (tmp_path / ".env").write_bytes(f"DEALFLOW_OPS_PASSWORD={PLANTED}".encode() + b"\xff")
    with pytest.raises(SettingsError, match=r"\.env cannot be read: it is not UTF-8") as caught:
        load_settings({}, tmp_path / ".env")
    assert PLANTED not in str(caught.value)


WRONG = {
    "gateway_port": [PLANTED, "70000", "-1", "1.5"],
    "log_level": [PLANTED],
    "leads": [PLANTED],
    "contract_resend": [PLANTED],
    "hubspot_api_versions": [PLANTED],
    "contract_looks_s": [PLANTED, "0", "-5", "inf", "nan", ","],
    "worker_lease_s": [PLANTED, "0", "inf"],
    "worker_lanes": [PLANTED, "0", "33"],
    "worker_batch_from": [PLANTED, "1"],
    "contract_expires_days": [PLANTED, "91"],
    "dropbox_sign_test_mode": [PLANTED],
    "hubspot_burst_per_10s": ["0"],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in WRONG.items() for v in values])
def test_a_wrong_value_names_the_setting_and_not_the_value(name: str, value: str, tmp_path: Path) -> None:
    """Refused with the setting's name; the value itself is in no text, for it might be a secret."""
    (tmp_path / "value").write_text(value)
    for given_as in ({name: value}, {name + "_file": str(tmp_path / "value")}):
        with pytest.raises(SettingsError, match=f"^{PREFIX}{name.upper()}: ") as caught:
            _load(**given_as)
        assert PLANTED not in str(caught.value)
        assert caught.value.__suppress_context__


@given(st.sampled_from(sorted(Settings.model_fields)), st.text(min_size=8))
def test_whatever_is_set_nothing_but_a_settings_error(name: str, value: str) -> None:
    """Any text in any setting either is a value or is refused in one line that does not repeat it."""
    try:
        settings = _load(**{name: "\x01" + value})
    except SettingsError as problem:
        assert "\x01" + value not in str(problem)
        assert "\n" not in str(problem)
    else:
        assert getattr(settings, name) is not None


def test_printing_settings_shows_no_secret() -> None:
    """Secrets, and the database's address with its password, do not show when settings are printed."""
    secrets = [n for n, f in Settings.model_fields.items() if "SecretStr" in str(f.annotation)]
    assert {"hubspot_token", "dropbox_sign_api_key", "ops_password", "leads_hmac_secret"} <= set(secrets)
    values = dict.fromkeys(secrets, PLANTED)
    settings = _load(database_url=f"postgresql://me:{PLANTED}@db/ledger", **values)
    assert PLANTED not in f"{settings!r} {settings}"
    assert PLANTED in settings.database


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("postgresql://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("postgres://u:p@h/d?sslmode=require", "postgresql+asyncpg://u:p@h/d?sslmode=require"),
        ("postgresql+asyncpg://u@h/d", "postgresql+asyncpg://u@h/d"),
        ("sqlite:////var/lib/l.db", "sqlite+aiosqlite:////var/lib/l.db"),
    ],
)
def test_database_addresses(given: str, address: str) -> None:
    """Database addresses are converted to those of our drivers."""
    assert _load(database_url=given).database == address


def test_the_usual_places(tmp_path: Path) -> None:
    """The ledger lies in home, the process in the configuration's folder, and the address has no slash at its end."""
    settings = _load(home=str(tmp_path), config_dir="/etc/dealflow", public_url="https://flow.example/")
    assert settings.database == f"sqlite+aiosqlite:///{tmp_path / 'ledger.db'}"
    assert settings.process_path == Path("/etc/dealflow/sales_process.yaml")
    assert settings.base_url == "https://flow.example"
    assert _load(gateway_port="9000").base_url == "http://127.0.0.1:9000"


def test_misspelt_names_are_found() -> None:
    """Names with our prefix that are not settings are listed; settings, their files and test options are not."""
    wrong = ["DEALFLOW_HUBSPOT_TOKN", "DEALFLOW_OPS_PASSWORD_FIEL", "DEALFLOW_"]
    right = [
        "DEALFLOW_HUBSPOT_TOKEN",
        "DEALFLOW_OPS_PASSWORD_FILE",
        "DEALFLOW_TEST_POSTGRES_URL",
        "PATH",
        "dealflow_x",
    ]
    assert unknown_names(dict.fromkeys([*wrong, *right], "x")) == sorted(wrong)
    assert unknown_names({PREFIX + name.upper(): "" for name in Settings.model_fields}) == []


def _example_lines() -> list[str]:
    return EXAMPLE.read_text(encoding="utf-8").splitlines()


def _example_values() -> dict[str, str]:
    names = [line.lstrip("#") for line in _example_lines() if line.lstrip("#").startswith(PREFIX)]
    return dict(line.split("=", 1) for line in names)


def test_the_example_lists_every_setting_in_order() -> None:
    """env.example has each setting once, in the order of the class, and nothing else."""
    lines = [
        line.lstrip("#").split("=")[0] for line in _example_lines() if line.lstrip("#").startswith(PREFIX)
    ]
    assert lines == [PREFIX + name.upper() for name in Settings.model_fields]


def test_the_example_explains_every_setting() -> None:
    """Each setting, or group of settings, has its meaning above it."""
    explained = False
    for before, line in itertools.pairwise(_example_lines()):
        if line.startswith((PREFIX, "#" + PREFIX)):
            explained = before.startswith("# ") or (explained and PREFIX in before)
            assert explained, line


def test_the_example_shows_the_defaults() -> None:
    """All its lines uncommented give the defaults."""
    values = _example_values()
    assert load_settings(values) == Settings()
    shown: dict[str, Any] = load_settings(values).model_dump(exclude_defaults=True)
    assert shown == {}
    unset = {"", None}
    for name, field in Settings.model_fields.items():
        written = values[PREFIX + name.upper()]
        if written == "":
            assert name == "config_dir" or str(field.default or "").strip("[]{}") in unset
        else:
            assert written == _as_text(field.default)


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_as_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_the_example_works_as_an_env_file() -> None:
    """What has to be filled in is not commented out and is empty; there is no secret in it."""
    values = dotenv_values(EXAMPLE)
    assert {"DEALFLOW_HUBSPOT_TOKEN", "DEALFLOW_DROPBOX_SIGN_API_KEY", "DEALFLOW_PUBLIC_URL"} <= set(values)
    assert set(values.values()) == {""}
    assert load_settings({}, EXAMPLE) == Settings()
