"""Every environment value, in one typed class. No other module reads the environment.

Names are `DEALFLOW_` plus the field in capitals. A secret may also come from a file: set
`DEALFLOW_HUBSPOT_TOKEN_FILE=/run/secrets/token` instead of `DEALFLOW_HUBSPOT_TOKEN`.
`env.example` lists all of them; a test checks that.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from config.errors import ConfigError

PREFIX = "DEALFLOW_"
CONFIG_DIR = Path(__file__).parent


class SettingsError(ConfigError):
    """A setting is missing, unreadable or wrong. The text names the setting and what to do."""


def _numbers(value: object) -> object:
    return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _words(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _pairs(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [part.split("=", 1) for part in value.split(",") if part.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError("write it as family=version,family=version")
    return {left.strip(): right.strip() for left, right in pairs}


Switch = Literal["on", "off"]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseModel):
    """All settings with their defaults. Secrets are SecretStr: printing one shows asterisks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Storage
    home: Path = Path(".dealflow")
    database_url: Annotated[str, Field(repr=False)] = ""  # may hold a password; empty: SQLite in `home`
    config_dir: Path = CONFIG_DIR
    process_file: Path | None = None  # empty: sales_process.yaml in `config_dir`
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    retention_days: Annotated[int, Field(ge=0)] = 400  # 0: forever

    # HubSpot
    hubspot_token: SecretStr | None = None
    hubspot_base_url: str = "https://api.hubapi.com"
    hubspot_app_url: str = "https://app.hubspot.com"
    hubspot_api_version: str = "2026-03"
    hubspot_api_versions: Annotated[dict[str, str], BeforeValidator(_pairs)] = {}
    hubspot_burst_per_10s: Annotated[int, Field(gt=0)] = 100
    hubspot_webhooks: Switch = "on"
    hubspot_client_secret: SecretStr | None = None
    hubspot_portal_id: str = ""

    # Dropbox Sign
    dropbox_sign_api_key: SecretStr | None = None
    dropbox_sign_callback_keys: Annotated[list[SecretStr], BeforeValidator(_words)] = []
    dropbox_sign_base_url: str = "https://api.hellosign.com/v3"
    dropbox_sign_app_url: str = "https://app.hellosign.com"
    dropbox_sign_client_id: str = ""
    dropbox_sign_test_mode: bool = True
    dropbox_sign_calls_per_minute: Annotated[int, Field(ge=0)] = 0  # 0: the published limits
    dropbox_sign_callback: Literal["restore", "report"] = "restore"

    # Contracts
    contract_looks_s: Annotated[list[Seconds], BeforeValidator(_numbers), Field(min_length=1)] = [
        60,
        180,
        600,
        1800,
    ]
    contract_resend: Literal["once", "never"] = "once"
    contract_expires_days: Annotated[int, Field(ge=0, le=90)] = 30

    # Follow-up e-mails
    follow_up_email: Literal["off", "hubspot", "smtp"] = "hubspot"
    smtp_host: str = ""
    smtp_port: Annotated[int, Field(ge=1, le=65535)] = 587
    smtp_tls: Literal["starttls", "tls", "off"] = "starttls"
    smtp_user: str = ""
    smtp_password: SecretStr | None = None
    smtp_from: str = ""

    # Gateway
    gateway_host: str = "127.0.0.1"
    gateway_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    public_url: str = ""  # what vendors call; empty: http://host:port of the gateway
    leads: Switch = "on"
    leads_token: SecretStr | None = None
    leads_hmac_secret: SecretStr | None = None
    ops_user: str = "ops"
    ops_password: SecretStr | None = None

    # Worker
    worker_poll_s: Seconds = 2
    worker_lease_s: Seconds = 120
    worker_lanes: Annotated[int, Field(ge=1, le=32)] = 1
    worker_batch_from: Annotated[int, Field(ge=2)] = 4
    worker_batch_max: Annotated[int, Field(ge=2, le=1000)] = 200
    worker_hold_retry_s: Seconds = 900
    worker_park_first_s: Seconds = 5
    worker_park_max_s: Seconds = 3600
    work_pool: str = "dealflow"

    @property
    def database(self) -> str:
        """The ledger's address in the form of SQLAlchemy's async drivers."""
        url = self.database_url or f"sqlite:///{(self.home / 'ledger.db').resolve()}"
        for plain, driver in _DRIVERS:
            if url.startswith(plain):
                return driver + url[len(plain) :]
        return url

    @property
    def process_path(self) -> Path:
        """The path of the sales process file in use."""
        return self.process_file or self.config_dir / "sales_process.yaml"

    @property
    def base_url(self) -> str:
        """The address vendors call, without a trailing slash."""
        return (self.public_url or f"http://{self.gateway_host}:{self.gateway_port}").rstrip("/")

    def require(self, *names: str) -> None:
        """Check that each of these settings has a value. Raises SettingsError naming the first one without."""
        for name in names:
            value = getattr(self, name)
            text = value.get_secret_value() if isinstance(value, SecretStr) else value
            if not text:
                variable = PREFIX + name.upper()
                raise SettingsError(
                    f"{variable} is not set: put it into the environment or .env, or name a file in {variable}_FILE"
                )


_DRIVERS = (
    ("sqlite:///", "sqlite+aiosqlite:///"),
    ("postgres://", "postgresql+asyncpg://"),
    ("postgresql://", "postgresql+asyncpg://"),
)


def load_settings(environ: Mapping[str, str] | None = None, env_file: Path | None = None) -> Settings:
    """Read the settings from the environment and, with lower priority, from `.env` in the working folder.

    A blank value counts as unset. Raises SettingsError: a file cannot be read, a setting is given both directly and
    as a file, or a value has the wrong type. No text repeats a value.
    """
    if environ is None:
        environ = os.environ
        env_file = env_file or Path(".env")
    ranks: list[Mapping[str, str]] = [environ]
    if env_file is not None and env_file.is_file():
        ranks.append(_dotenv(env_file))
    given: dict[str, str] = {}
    for name in Settings.model_fields:
        for values in ranks:
            value = _value_of(PREFIX + name.upper(), values)
            if value:
                given[name] = value
                break
    try:
        return Settings.model_validate(given)
    except ValidationError as problem:
        first = problem.errors()[0]
        where = PREFIX + str(first["loc"][0]).upper()
        # Never the input itself: it may be a secret.
        raise SettingsError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None


def _dotenv(path: Path) -> dict[str, str]:
    from dotenv import dotenv_values  # only where there is such a file

    try:
        return {k: v for k, v in dotenv_values(path).items() if v is not None}
    except (OSError, UnicodeDecodeError) as problem:
        why = getattr(problem, "strerror", None) or "it is not UTF-8 text"
        raise SettingsError(f"{path} cannot be read: {why}") from None


def unknown_names(environ: Mapping[str, str]) -> list[str]:
    """Names that start with our prefix but that are not settings: most likely misspelt."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    known |= {name + "_FILE" for name in known}
    foreign = (PREFIX + "TEST_", PREFIX + "SHARED", PREFIX + "DEMO_")
    return sorted(n for n in environ if n.startswith(PREFIX) and n not in known and not n.startswith(foreign))


def _value_of(variable: str, values: Mapping[str, str]) -> str:
    """The value from one source, direct or through NAME_FILE, stripped; empty when unset."""
    direct = values.get(variable, "").strip()
    path = values.get(variable + "_FILE", "").strip()
    if not path:
        return direct
    if direct:
        raise SettingsError(f"{variable} and {variable}_FILE are both set: keep one of them")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        why = getattr(problem, "strerror", None) or "it is not UTF-8 text"
        raise SettingsError(f"{variable}_FILE names a file that cannot be read: {why}") from None
