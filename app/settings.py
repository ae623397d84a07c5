"""Every setting, where its value comes from, and what the values amount to. Read once, at the top.

Only `__main__`, `main`, `wiring` and `migrations/env.py` import this file; everybody else gets plain values.
A value comes from a flag or the environment, else from the config file, else it is the default. Each
setting has an environment name of ours (`CHARTROOM_<NAME>`) and, where ChartMuseum has the same option, its
names too (`app/museum.py`); ours win. The environment is read here and not by pydantic-settings, because
`check-config` says where each value came from and an error names what to correct.
The file passes 300 lines because the fields of `Settings` are one table, the README's as well, and what
finds their values follows the table row by row.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from app import museum
from app.errors import AppError, Kind

# --- types: text in Go's spelling on the way in, plain values inside ---------------------------------


def _boolean(value: object) -> object:
    return museum.parse_boolean(value) if isinstance(value, str) else value


def _integer(value: object) -> object:
    return museum.parse_integer(value) if isinstance(value, str) else value


def _seconds(value: object) -> object:
    return museum.parse_duration(value) if isinstance(value, str) else value


def _lease(value: float) -> float:
    if value and not 1 <= value <= 600:
        raise ValueError("must be 0, or from 1s to 10m")
    return value


def _identifiers(value: object) -> object:
    """Read `id` or `tenant=id`, comma separated, into tenant -> id; the root repository is ''."""
    if not isinstance(value, str):
        return value
    pairs = (part.strip().rpartition("=") for part in value.split(",") if part.strip())
    return {tenant.strip().strip("/"): identifier.strip() for tenant, _, identifier in pairs}


def _context_path(value: object) -> object:
    """Give the path a leading slash and no trailing one; the root is ''."""
    path = value.strip("/") if isinstance(value, str) else value
    return f"/{path}" if path else path


def _no_slash(value: object) -> object:
    return value.rstrip("/") if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Switch = Annotated[bool, BeforeValidator(_boolean)]
Count = Annotated[int, BeforeValidator(_integer), Field(ge=0)]
Positive = Annotated[int, BeforeValidator(_integer), Field(ge=1)]
Port = Annotated[int, BeforeValidator(_integer), Field(ge=0, le=65535)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0)]
Lease = Annotated[float, BeforeValidator(_seconds), AfterValidator(_lease)]
Depth = Count | None
ContextPath = Annotated[str, BeforeValidator(_context_path)]
Address = Annotated[str, BeforeValidator(_no_slash)]
Word = Annotated[str, Field(min_length=1)]
RepositoryIds = Annotated[dict[str, str], BeforeValidator(_identifiers)]
Level = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]


@dataclass(frozen=True, slots=True)
class FolderPlace:
    """Charts lie in a folder (absolute path)."""

    path: Path


@dataclass(frozen=True, slots=True)
class BucketPlace:
    """Charts lie in a bucket of an S3 server; '' leaves a choice to boto3. `prefix` has no outer slashes."""

    bucket: str
    prefix: str
    endpoint: str
    region: str
    sse: str
    path_style: bool
    insecure: bool


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a value was found, and whether under a name of ours (and not ChartMuseum's)."""

    text: str
    ours: bool = True
    explicit: bool = False  # a flag: an empty text is meant


# --- the table -----------------------------------------------------------------------------------------

_NO_EFFECT = "accepted without effect: the index here always equals the store"


def _field(default: Any, description: str) -> Any:
    """Declare one row of the table."""
    return Field(default=default, description=description)


class Settings(BaseSettings):
    """All settings as plain values. `load_settings` fills it; nothing is read behind its back."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    config: str = _field("", "YAML config file with these names, or ChartMuseum's keys, as keys")

    host: Word = _field("127.0.0.1", "address to listen on (0.0.0.0 with ChartMuseum's command line)")
    port: Port = _field(8080, "port to listen on; 0 takes a free one")
    workers: Positive = _field(1, "server processes")
    public_url: Address = _field(
        "", "address people reach the server under, without context path; shown on the web page"
    )
    context_path: ContextPath = _field("", "path in front of every route, /charts for example")
    read_timeout: Count = _field(30, "seconds a client may take to send a request; 0 for no limit")
    write_timeout: Count = _field(30, "seconds a client may stall while it receives; 0 for no limit")
    tls_cert: str = _field("", "file of the TLS certificate chain; with tls_key, the server speaks HTTPS")
    tls_key: str = _field("", "file of the TLS key")
    tls_ca_cert: str = _field("", "file of the CA that client certificates must come from")

    storage: Word = _field(
        "./data", "where charts lie: a folder or s3://bucket/prefix (or ChartMuseum's words local, amazon)"
    )
    database: SecretStr = _field(
        SecretStr(""),
        "SQLAlchemy URL (sqlite, postgresql); empty for SQLite in .chartroom/ of the storage folder, "
        "of ./data with a bucket",
    )
    storage_local_rootdir: str = _field("", "the folder, with storage=local")
    storage_amazon_bucket: str = _field("", "the bucket, with storage=amazon")
    storage_amazon_prefix: str = _field("", "prefix in the bucket")
    storage_amazon_region: str = _field("", "region of the bucket; us-east-1 if an endpoint is set")
    storage_amazon_endpoint: str = _field("", "address of an S3 server other than Amazon's")
    storage_amazon_sse: str = _field("", "server-side encryption, AES256 or aws:kms")
    storage_amazon_force_path_style: Switch = _field(True, "address buckets as a path, not as a host name")
    s3_presign: Switch = _field(False, "redirect archive downloads to presigned URLs of the bucket")
    s3_insecure: Switch = _field(False, "do not verify the S3 server's TLS certificate")
    lease: Lease = _field(
        0.0,
        "how long the right to write lasts when it is not renewed, 1s to 10m: a server with another database takes "
        "over so long after a crash; 0 for our choice (30s in a folder, 90s in a bucket)",
    )

    depth: Depth = _field(
        None, "path segments of a repository; empty for any number (0 with ChartMuseum's command line)"
    )
    depth_dynamic: Switch = _field(False, "repositories of any depth, whatever depth says")
    disable_api: Switch = _field(False, "no API: nothing is uploaded, deleted or listed")
    disable_delete: Switch = _field(False, "nothing is deleted")
    allow_overwrite: Switch = _field(False, "an upload replaces an existing version without ?force")
    disable_force_overwrite: Switch = _field(False, "?force replaces nothing")
    chart_post_form_field_name: Word = _field("chart", "form field of an uploaded archive")
    prov_post_form_field_name: Word = _field("prov", "form field of an uploaded provenance file")
    max_upload_size: Positive = _field(20971520, "largest request body, in bytes")
    max_storage_objects: Count = _field(0, "most objects in one repository; 0 for no limit")
    per_chart_limit: Count = _field(
        0, "most versions of one chart: an upload beyond it removes the oldest; 0 for no limit"
    )

    oci_helm_only: Switch = _field(False, "the OCI door takes Helm charts only, no other artifacts")
    gc_interval: Seconds = _field(3600.0, "how often garbage is collected; 0 for never (see chartroom gc)")
    gc_grace: Seconds = _field(3600.0, "how long what nothing refers to any more is kept")
    gc_untagged: Switch = _field(False, "pushed manifests are collected too when their last tag is gone")
    upload_expiry: Seconds = _field(86400.0, "how long an unfinished upload, or a blob that nothing uses, is kept")

    chart_url: Address = _field("", "absolute URL in front of archives in the index; empty for relative URLs")
    json_index: Switch = _field(True, "index.yaml as JSON (which is YAML, and faster); false for block YAML")
    gen_index: Switch = _field(False, "print the index and exit")
    index_limit: Count = _field(0, "archives read at once while storage is scanned; 0 for our choice")
    cache_interval: Seconds = _field(
        300.0, "how often files laid down in ChartMuseum's layout are looked for; 0 for never"
    )
    always_regenerate_chart_index: Switch = _field(False, _NO_EFFECT)
    disable_statefiles: Switch = _field(False, _NO_EFFECT)
    storage_timestamp_tolerance: Seconds = _field(0.0, _NO_EFFECT)
    cache: str = _field("", f"cache store, redis; {_NO_EFFECT}")
    cache_redis_addr: str = _field("", _NO_EFFECT)
    cache_redis_password: SecretStr = _field(SecretStr(""), _NO_EFFECT)
    cache_redis_db: Count = _field(0, _NO_EFFECT)
    archive_cache_bytes: Count = _field(16 * 1024 * 1024, "memory for hot archives, in bytes per process")
    index_cache_bytes: Count = _field(256 * 1024 * 1024, "memory for indexes, in bytes per process")

    basic_auth_user: str = _field("", "the one account's user name, for HTTP basic authentication")
    basic_auth_pass: SecretStr = _field(SecretStr(""), "its password")
    auth_anonymous_get: Switch = _field(False, "reading needs no credentials")
    bearer_auth: Switch = _field(False, "accept bearer tokens (JWT, RS256)")
    auth_realm: str = _field("", "address of the token server")
    auth_service: str = _field("", "our name at the token server")
    auth_cert_path: str = _field("", "PEM file with the token server's public key or certificate")
    auth_actions_search_path: str = _field(
        "", "JMESPath of the allowed actions in a token; empty for ChartMuseum's default"
    )
    cors_allow_origin: str = _field("", "value of the Access-Control-Allow-Origin header")

    web_template_path: str = _field("", "folder of a welcome page of your own (index.html, static/)")
    artifact_hub_repo_id: RepositoryIds = _field(
        {}, "Artifact Hub repository ID, as id or tenant=id; several with commas"
    )
    enable_metrics: Switch = _field(True, "serve /metrics (false with ChartMuseum's command line)")
    debug: Switch = _field(False, "log at level debug")
    log_level: Level = _field("info", "least level logged: debug, info, warning or error")
    log_json: Switch = _field(False, "log as JSON")
    log_health: Switch = _field(False, "log requests for /health as well")
    log_latency_integer: Switch = _field(False, "log latency as whole nanoseconds")

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _warnings: tuple[str, ...] = PrivateAttr(default=())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from the caller only; `load_settings` knows where to look."""
        return (init_settings,)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        """Refuse settings that contradict each other. Raises AppError(INVALID)."""
        self.database_url()  # which asks storage_place() too
        _check_auth(self)
        _check_tls(self)
        if self.cache and self.cache.lower() != "redis":
            raise _refuse(f"Unsupported cache store: {self.cache}")
        if self.public_url and not re.match(r"https?://[^/]", self.public_url):
            raise _refuse(
                f"public_url is {self.public_url!r}, which no browser can open: write the whole address, "
                "https://charts.example.com for example"
            )
        return self

    @property
    def warnings(self) -> tuple[str, ...]:
        """What `load_settings` ignored and why, one line each."""
        return self._warnings

    @property
    def fixed_depth(self) -> int | None:
        """How many path segments a repository has; None for any number."""
        return None if self.depth_dynamic else self.depth

    @property
    def level(self) -> str:
        """The level to log at, `debug` counted in."""
        return "debug" if self.debug else self.log_level

    def address(self) -> str:
        """Answer the address of this server as seen from this machine, context path included."""
        scheme = "https" if self.tls_cert else "http"
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 - compared, not bound
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}{self.context_path}"

    def public_address(self) -> str:
        """Answer the address people reach the server under, context path included."""
        return f"{self.public_url}{self.context_path}" if self.public_url else self.address()

    def storage_place(self) -> FolderPlace | BucketPlace:
        """Answer where charts lie. Raises AppError(INVALID), in ChartMuseum's words where it has some."""
        word = self.storage.lower()
        if word == "local":
            return self._local_place()
        if word == "amazon":
            return self._amazon_place()
        if word in museum.BACKENDS:
            raise _refuse(museum.explain_backend(word))
        scheme, separator, rest = self.storage.partition("://")
        if not separator:
            return FolderPlace(Path(self.storage).expanduser().absolute())
        if scheme.lower() != "s3":
            raise _refuse(
                f"storage has the scheme {scheme}://, which is not built: give a folder or "
                "s3://bucket/prefix (any S3 server, with storage_amazon_endpoint)"
            )
        bucket, _, prefix = rest.partition("/")
        if not re.fullmatch(r"[A-Za-z0-9._-]+", bucket):
            # Not quoted back: people write a key pair in front of the bucket.
            raise _refuse(
                "storage names no bucket: write s3://bucket/prefix, and give the key pair as "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        return self._bucket(bucket, prefix or self.storage_amazon_prefix)

    def _local_place(self) -> FolderPlace:
        if not self.storage_local_rootdir:
            raise _refuse(museum.missing_flags(["storage_local_rootdir"]))
        return FolderPlace(Path(self.storage_local_rootdir).expanduser().absolute())

    def _amazon_place(self) -> BucketPlace:
        region = self.storage_amazon_region or self.storage_amazon_endpoint
        needed = {"storage_amazon_bucket": self.storage_amazon_bucket, "storage_amazon_region": region}
        missing = [name for name, value in needed.items() if not value]
        if missing:
            raise _refuse(museum.missing_flags(missing))
        return self._bucket(self.storage_amazon_bucket, self.storage_amazon_prefix)

    def _bucket(self, bucket: str, prefix: str) -> BucketPlace:
        endpoint = self.storage_amazon_endpoint.rstrip("/")
        if endpoint and "://" not in endpoint:
            endpoint = f"https://{endpoint}"  # as the AWS SDK for Go does; boto3 refuses a bare host
        return BucketPlace(
            bucket=bucket,
            prefix=prefix.strip("/"),
            endpoint=endpoint,
            region=self.storage_amazon_region or ("us-east-1" if endpoint else ""),
            sse=self.storage_amazon_sse,
            path_style=self.storage_amazon_force_path_style,
            insecure=self.s3_insecure,
        )

    def database_url(self) -> str:
        """Answer the SQLAlchemy URL, password included: never log it. Raises AppError(INVALID)."""
        place = self.storage_place()
        url = self.database.get_secret_value()
        if not url:
            folder = place.path if isinstance(place, FolderPlace) else Path("data").absolute()
            path = str(folder / ".chartroom" / "chartroom.db")
            return "sqlite:///" + path.replace("%", "%25").replace("?", "%3F")  # a URL, not a path
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in _DRIVERS:
            # The URL is not quoted back: it may hold a password.
            raise _refuse(
                "database is not a URL of a database we know: write sqlite:///path/to/file.db or "
                "postgresql://user:password@host/name"
            )
        return f"{_DRIVERS[scheme]}://{rest}"

    def describe(self) -> list[tuple[str, str]]:
        """Answer each setting with its value and where that came from; passwords are masked."""
        rows = []
        for name, field in type(self).model_fields.items():
            shown = _show(getattr(self, name), field.default)
            if name == "database":
                shown = _mask_account(self.database.get_secret_value())
            rows.append((name, f"{shown or '(empty)'}  [{self._origins.get(name, 'default')}]"))
        return rows


_DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": "postgresql+psycopg",  # hosters hand this one out; SQLAlchemy refuses it
    "postgresql": "postgresql+psycopg",  # SQLAlchemy would look for psycopg2
    "postgresql+psycopg": "postgresql+psycopg",
}


def _check_auth(settings: Settings) -> None:
    """Refuse half an authentication, which would leave the server open or nobody able to enter."""
    password = settings.basic_auth_pass.get_secret_value()
    if bool(settings.basic_auth_user) != bool(password):
        have, lack = ("user", "pass") if settings.basic_auth_user else ("pass", "user")
        raise _refuse(
            f"basic_auth_{have} is set and basic_auth_{lack} is not: the repository would be open to "
            "everybody. Set both, or neither."
        )
    if not settings.bearer_auth:
        return
    needed = {
        "Missing Auth Realm": settings.auth_realm,
        "Missing Auth Service": settings.auth_service,
        "Missing Auth Server Public Cert Path": settings.auth_cert_path,
    }
    for message, value in needed.items():
        if not value:
            raise _refuse(message)


def _check_tls(settings: Settings) -> None:
    """Refuse half a certificate: the server would speak plain HTTP without a word."""
    given = bool(settings.tls_cert), bool(settings.tls_key)
    if any(given) != all(given) or (settings.tls_ca_cert and not all(given)):
        raise _refuse(
            "TLS needs both tls_cert and tls_key (and tls_ca_cert only with them): the server would speak "
            "plain HTTP. Set both, or none of the three."
        )


# --- finding the values --------------------------------------------------------------------------------

_PREFIX = "CHARTROOM_"
_ALIASES: Mapping[str, tuple[str, ...]] = {
    **{option.setting: (option.env,) for option in museum.OPTIONS if option.effective},
    "s3_insecure": ("AWS_INSECURE_SKIP_VERIFY",),  # where ChartMuseum looks for it
}
_KEYS = {option.setting: option.key for option in museum.OPTIONS if option.effective and option.key}
_FLAG_NAMES = {option.setting: option.flag for option in museum.OPTIONS}
# What Kubernetes puts into every container for a Service called chartroom or chartroom-something.
_SERVICE_LINK = re.compile(r"CHARTROOM_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT\w*|PORT_\d+_\w+)=|\w+_PORT=tcp:")
_SWITCHES = frozenset(name for name, field in Settings.model_fields.items() if isinstance(field.default, bool))
_NONE: Mapping[str, str] = MappingProxyType({})
_NOT_FOUND = ("", _Origin("default"))


def load_settings(
    flags: Mapping[str, str] = _NONE, environ: Mapping[str, str] = os.environ, *, museum: bool = False
) -> Settings:
    """Find every setting: flag, else environment, else config file, else default.

    `flags` is setting -> text, from our command line or from ChartMuseum's; `museum` says that it was
    ChartMuseum's, and brings that program's defaults. Raises AppError(INVALID) that names what to correct.
    """
    search = _Search(flags, environ, museum)
    if museum and not search.texts().get("storage"):
        raise _refuse("Missing required flags(s): --storage")
    search.check_storage_word()
    try:
        settings = Settings(**search.texts())
    except ValidationError as error:
        raise _refuse("\n".join(search.explain(error))) from None
    settings._origins = {name: origin.text for name, (_, origin) in search.found.items()}
    settings._warnings = tuple(search.warnings(settings))
    return settings


class _Search:
    """One look through flags, environment and config file."""

    def __init__(self, flags: Mapping[str, str], environ: Mapping[str, str], for_museum: bool) -> None:
        self._flags, self._environ, self._for_museum = flags, environ, for_museum
        self._file: Mapping[str, str] = _NONE
        unknown = flags.keys() - Settings.model_fields.keys() - _FLAG_NAMES.keys()
        if unknown:
            raise ValueError(f"no such settings: {sorted(unknown)}")  # a slip of the caller, not of a user
        config = self._find("config")
        if config:
            self._file = museum.read_config_file(Path(config[0]))
        candidates = {name: self._find(name) for name in Settings.model_fields}
        self.found = {name: found for name, found in candidates.items() if found}

    def _find(self, name: str) -> tuple[str, _Origin] | None:
        for text, origin in self._candidates(name):
            # An empty variable is how compose files and shells say "not set"; only a switch reads it as off.
            if text == "" and not origin.explicit and name not in _SWITCHES:
                continue
            if name == "port" and text.startswith("tcp://"):
                continue  # set by Kubernetes for a Service called chartroom, not by a person
            return text, origin
        return None

    def _candidates(self, name: str) -> Iterator[tuple[str, _Origin]]:
        """Answer every text given for a setting, the one that counts first."""
        if name in self._flags:
            word = f"--{_FLAG_NAMES.get(name, name)}" if self._for_museum else f"--{name.replace('_', '-')}"
            yield self._flags[name], _Origin(f"flag {word}", ours=not self._for_museum, explicit=True)
        ours = _PREFIX + name.upper()
        for variable in (ours, *_ALIASES.get(name, ())):
            if variable in self._environ:
                yield self._environ[variable], _Origin(f"environment {variable}", ours=variable == ours)
        for key in (name, _KEYS.get(name, "")):
            if key in self._file:
                yield self._file[key], _Origin(f"config file key {key}", ours=key == name)
        if self._for_museum and name in museum.DEFAULTS:
            yield museum.DEFAULTS[name], _Origin("ChartMuseum's default")

    def texts(self) -> dict[str, Any]:
        """Answer what was found, for `Settings` to read."""
        return {name: text for name, (text, _) in self.found.items()}

    def check_storage_word(self) -> None:
        """Refuse a backend ChartMuseum does not know either; under our own name such a word is a folder."""
        text, origin = self.found.get("storage", _NOT_FOUND)
        is_path = "/" in text or text.startswith((".", "~"))
        if not is_path and not origin.ours and text.lower() not in museum.BACKENDS:
            raise _refuse(f"Unsupported storage backend: {text}")

    def explain(self, error: ValidationError) -> Iterator[str]:
        """Put each of pydantic's complaints in words that name where the value came from."""
        for detail in error.errors():
            name = str(detail["loc"][0]) if detail["loc"] else ""
            text, origin = self.found.get(name, _NOT_FOUND)
            cause = detail.get("ctx", {}).get("error")
            reason = str(cause) if cause else detail["msg"].replace("Input s", "it s")
            value = "" if isinstance(Settings.model_fields[name].default, SecretStr) else f" is {text!r}"
            yield f"{name}{value} ({origin.text}): {reason}"

    def warnings(self, settings: Settings) -> Iterator[str]:
        """Name what was given and does nothing."""
        yield from self._ignored_options()
        yield from self._unknown_names()
        for name, field in Settings.model_fields.items():
            idle = _NO_EFFECT in (field.description or "")
            if idle and getattr(settings, name) != field.default:
                yield f"{name} ({self.found[name][1].text}): {_NO_EFFECT}"

    def _ignored_options(self) -> Iterator[str]:
        for option in museum.OPTIONS:
            if option.effective:
                continue
            given = {
                f"flag --{option.flag}": self._flags.get(option.setting),
                f"environment {option.env}": self._environ.get(option.env),
                f"config file key {option.key}": self._file.get(option.key),
            }
            for origin, text in given.items():
                if text:
                    yield f"{origin}: {museum.IGNORED}"

    def _unknown_names(self) -> Iterator[str]:
        known_keys = {*Settings.model_fields, *(option.key for option in museum.OPTIONS)}
        for key in sorted(self._file.keys() - known_keys):
            yield f"config file key {key}: unknown and ignored{_nearest(key, known_keys)}"
        known_variables = {_PREFIX + name.upper() for name in Settings.model_fields}
        for variable in sorted(self._environ.keys() - known_variables):
            if not variable.startswith(_PREFIX) or variable.startswith(f"{_PREFIX}TEST_"):
                continue
            if not _SERVICE_LINK.match(f"{variable}={self._environ[variable]}"):
                yield f"environment {variable}: unknown and ignored{_nearest(variable, known_variables)}"


def _nearest(name: str, known: set[str]) -> str:
    """Guess what was meant."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _refuse(message: str) -> AppError:
    return AppError(Kind.INVALID, message)


# --- telling about the settings ------------------------------------------------------------------------


def settings_table() -> str:
    """Render the README's table: a row per setting, in Markdown."""
    rows = ["| Setting | ChartMuseum's names | Default | Meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        names = [f"`{alias}`" for alias in _ALIASES.get(name, ())]
        names += [f"`--{_FLAG_NAMES[name]}`"] if name in _FLAG_NAMES else []
        default = _show(field.default, field.default)
        cells = [f"`{_PREFIX}{name.upper()}`", " ".join(names), f"`{default}`" if default else ""]
        rows.append(f"| {' | '.join(cells)} | {field.description} |")
    return "\n".join(rows) + "\n"


def museum_help() -> str:
    """Render the --help of ChartMuseum's command line, with the meanings of our settings."""
    return museum.render_help({name: field.description or "" for name, field in Settings.model_fields.items()})


def _show(value: object, default: object) -> str:
    """Write a value the way it may be given; mask what is secret. `default` tells durations from numbers."""
    if isinstance(value, SecretStr):
        return "********" if value.get_secret_value() else ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(default, float) and isinstance(value, int | float):
        whole_minutes = value >= 60 and value % 60 == 0
        return f"{value / 60:g}m" if whole_minutes else f"{value:g}s"
    if isinstance(value, dict):
        return ",".join(f"{key}={item}" if key else str(item) for key, item in value.items())
    return "" if value is None else str(value)


def _mask_account(url: str) -> str:
    """Hide user and password of a URL, and its query, which may hold them too; the host stays readable."""
    scheme, separator, rest = url.partition("://")
    account, _, place = rest.rpartition("@")
    return f"{scheme}{separator}{'********@' if account else ''}{place.partition('?')[0]}"
