"""ChartMuseum's ways of being told what to do: its flags, environment names, config file and value syntax.

Here: the table of all its options and which setting of ours each one means, the parser of its command line
(Go flag syntax, no subcommand), the reader of its config file, Go's spelling of switches, numbers and
durations, and what to say about its backends that are not built. Not here: our own settings
(`app/settings.py`, which imports this file; never the other way round). Everything is text until it gets
there. The file passes 300 lines because one table of options serves all four ways in.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import AppError, Kind

if TYPE_CHECKING:
    import yaml

# --- the options ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Option:
    """One option of ChartMuseum: its flag without dashes, its config key ('' for none), its type.

    `kind` is one of string, int, bool, duration, pairs. `effective` is False for what we accept and ignore.
    """

    flag: str
    key: str
    kind: str = "string"
    effective: bool = True

    @property
    def env(self) -> str:
        """Answer the environment name: the flag in capitals, with the one exception ChartMuseum has."""
        return _ODD_ENVIRONMENT.get(self.flag) or self.flag.replace("-", "_").upper()

    @property
    def setting(self) -> str:
        """Answer the name under which the value reaches our settings."""
        return _RENAMED.get(self.flag) or self.flag.replace("-", "_")


_ODD_ENVIRONMENT = {"cors-alloworigin": "CORS_ALLOW_ORIGIN"}
_RENAMED = {"cors-alloworigin": "cors_allow_origin", "listen-host": "host"}

_NOT_BUILT_OPTIONS = {
    "alibaba": "bucket endpoint prefix sse",
    "baidu": "bucket endpoint prefix",
    "etcd": "cafile certfile endpoint keyfile prefix",
    "google": "bucket prefix",
    "microsoft": "container prefix",
    "openstack": "auth cacert container prefix region",
    "oracle": "bucket compartmentid prefix region",
    "tencent": "bucket endpoint prefix",
}

OPTIONS: tuple[Option, ...] = (
    Option("config", ""),
    Option("debug", "debug", "bool"),
    Option("log-json", "logjson", "bool"),
    Option("log-health", "loghealth", "bool"),
    Option("log-latency-integer", "loglatencyinteger", "bool"),
    Option("port", "port", "int"),
    Option("listen-host", "listen.host"),
    Option("read-timeout", "readtimeout", "int"),
    Option("write-timeout", "writetimeout", "int"),
    Option("context-path", "contextpath"),
    Option("tls-cert", "tls.cert"),
    Option("tls-key", "tls.key"),
    Option("tls-ca-cert", "tls.cacert"),
    Option("basic-auth-user", "basicauth.user"),
    Option("basic-auth-pass", "basicauth.pass"),
    Option("auth-anonymous-get", "authanonymousget", "bool"),
    Option("bearer-auth", "bearerauth", "bool"),
    Option("auth-realm", "authrealm"),
    Option("auth-service", "authservice"),
    Option("auth-cert-path", "authcertpath"),
    Option("auth-actions-search-path", "authactionssearchpath"),
    Option("cors-alloworigin", "cors.alloworigin"),
    Option("depth", "depth", "int"),
    Option("depth-dynamic", "depthdynamic", "bool"),
    Option("disable-api", "disableapi", "bool"),
    Option("disable-delete", "disabledelete", "bool"),
    Option("allow-overwrite", "allowoverwrite", "bool"),
    Option("disable-force-overwrite", "disableforceoverwrite", "bool"),
    Option("chart-post-form-field-name", "chartpostformfieldname"),
    Option("prov-post-form-field-name", "provpostformfieldname"),
    Option("max-upload-size", "maxuploadsize", "int"),
    Option("max-storage-objects", "maxstorageobjects", "int"),
    Option("per-chart-limit", "per-chart-limit", "int"),
    Option("chart-url", "charturl"),
    Option("json-index", "json-index", "bool"),
    Option("gen-index", "genindex", "bool"),
    Option("index-limit", "indexlimit", "int"),
    Option("cache-interval", "cacheinterval", "duration"),
    Option("always-regenerate-chart-index", "always-regenerate-chart-index", "bool"),
    Option("disable-statefiles", "disablestatefiles", "bool"),
    Option("storage-timestamp-tolerance", "storage.timestamptolerance", "duration"),
    Option("cache", "cache.store"),
    Option("cache-redis-addr", "cache.redis.addr"),
    Option("cache-redis-password", "cache.redis.password"),
    Option("cache-redis-db", "cache.redis.db", "int"),
    Option("enable-metrics", "enablemetrics", "bool"),
    Option("disable-metrics", "disablemetrics", "bool", effective=False),
    Option("enforce-semver2", "enforce-semver2", "bool", effective=False),
    Option("web-template-path", "web-template-path"),
    Option("artifact-hub-repo-id", "artifact-hub-repo-id", "pairs"),
    Option("storage", "storage.backend"),
    Option("storage-local-rootdir", "storage.local.rootdir"),
    Option("storage-amazon-bucket", "storage.amazon.bucket"),
    Option("storage-amazon-endpoint", "storage.amazon.endpoint"),
    Option("storage-amazon-force-path-style", "storage.amazon.forcepathstyle", "bool"),
    Option("storage-amazon-prefix", "storage.amazon.prefix"),
    Option("storage-amazon-region", "storage.amazon.region"),
    Option("storage-amazon-sse", "storage.amazon.sse"),
    *(
        Option(f"storage-{backend}-{option}", f"storage.{backend}.{option}", effective=False)
        for backend, options in _NOT_BUILT_OPTIONS.items()
        for option in options.split()
    ),
)

IGNORED = "accepted and ignored: deprecated, or of a backend that is not built"

DEFAULTS: Mapping[str, str] = {
    "host": "0.0.0.0",  # noqa: S104 - a container is reached from outside, as ChartMuseum's always was
    "depth": "0",
    "enable_metrics": "false",
}
"""Where its defaults differ from ours. `json_index` keeps ours: Helm reads both, and JSON much faster."""

# --- the backends --------------------------------------------------------------------------------------

_THROUGH_S3 = {
    "google": "Google Cloud Storage speaks S3: create an HMAC key (interoperability) and set "
    "STORAGE_AMAZON_ENDPOINT=https://storage.googleapis.com",
    "oracle": "Oracle Object Storage speaks S3: create a customer secret key and set "
    "STORAGE_AMAZON_ENDPOINT=https://<namespace>.compat.objectstorage.<region>.oraclecloud.com",
    "microsoft": "Azure Blob Storage does not speak S3: put a gateway before it (S3Proxy for one) and set "
    "STORAGE_AMAZON_ENDPOINT=<the gateway's address>",
    "alibaba": "Alibaba OSS speaks S3: set STORAGE_AMAZON_ENDPOINT=https://s3.oss-<region>.aliyuncs.com and "
    "STORAGE_AMAZON_FORCE_PATH_STYLE=false",
    "openstack": "OpenStack Swift speaks S3 where its s3api is on: create EC2 credentials and set "
    "STORAGE_AMAZON_ENDPOINT=<the s3api address>",
    "baidu": "Baidu BOS speaks S3: set STORAGE_AMAZON_ENDPOINT=https://s3.<region>.bcebos.com",
    "tencent": "Tencent COS speaks S3: set STORAGE_AMAZON_ENDPOINT=https://cos.<region>.myqcloud.com and "
    "STORAGE_AMAZON_FORCE_PATH_STYLE=false",
    "etcd": "etcd does not speak S3: copy the charts to a folder (STORAGE=local) or to any S3 server and set "
    "STORAGE_AMAZON_ENDPOINT=<its address>",
}

BACKENDS = frozenset({"local", "amazon", *_THROUGH_S3})
"""The words of `--storage`, in lower case. None of them is ever the name of a folder."""


def explain_backend(word: str) -> str:
    """Say why the backend `word` does not start here and which S3-compatible way leads to the same data."""
    return (
        f"storage backend {word} is not built: Chartroom stores in a folder or speaks S3. "
        f"{_THROUGH_S3[word]}. With it: STORAGE=amazon, STORAGE_AMAZON_BUCKET, and the key pair as "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    )


def missing_flags(settings: Sequence[str]) -> str:
    """Say, in ChartMuseum's words, that these settings have to be given."""
    flags = [f"--{option.flag}" for name in settings for option in OPTIONS if option.setting == name]
    return f"Missing required flags(s): {', '.join(flags)}"


# --- Go's spelling of values ---------------------------------------------------------------------------

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"", "0", "f", "F", "FALSE", "false", "False"})
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER_AND_UNIT = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([a-zµμ]+)")


def parse_boolean(text: str) -> bool:
    """Read a switch as Go's strconv.ParseBool does; empty is false. Raises ValueError."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("not a switch: write true or false")


def parse_integer(text: str) -> int:
    """Read a whole number in decimal digits. Raises ValueError."""
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise ValueError("not a whole number: write digits only, 8080 for example")
    return int(text)


def parse_duration(text: str) -> float:
    """Read a duration as Go's time.ParseDuration does and answer seconds. Raises ValueError."""
    sign = -1.0 if text.startswith("-") else 1.0
    rest = text[1:] if text[:1] in {"+", "-"} else text
    if rest == "0":
        return 0.0
    seconds, position = 0.0, 0
    for match in _NUMBER_AND_UNIT.finditer(rest):
        if match.start() != position or match[2] not in _UNITS:
            break
        seconds += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    if not rest or position != len(rest):
        raise ValueError("not a duration: write a number with a unit, 5m or 1h30m or 300ms for example")
    return sign * seconds


# --- the command line ----------------------------------------------------------------------------------

_OUR_FIRST_WORDS = frozenset({"--help", "-h", "--version", "--install-completion", "--show-completion"})
_QUESTIONS = {"help": "help", "h": "help", "version": "version", "v": "version"}
_BY_FLAG = {option.flag: option for option in OPTIONS} | {"c": OPTIONS[0]}


def is_museum_command_line(argv: Sequence[str]) -> bool:
    """Tell whether `argv` (without the program) is ChartMuseum's command line and not one of our commands."""
    return bool(argv) and argv[0].startswith("-") and argv[0] not in _OUR_FIRST_WORDS


def parse_command_line(argv: Sequence[str]) -> dict[str, str]:
    """Read ChartMuseum's flags (Go's flag package) and answer setting -> text, ready for `load_settings`.

    The keys `help` and `version` stand for those questions; the caller answers them and starts nothing.
    A repeated flag counts once, the last; --artifact-hub-repo-id gathers. Raises AppError(INVALID).
    """
    values: dict[str, str] = {}
    words = iter(argv)
    for word in words:
        if word == "--":
            break
        name, given, text = _split_flag(word)
        if name in _QUESTIONS:
            values[_QUESTIONS[name]] = "true"
            continue
        option = _BY_FLAG.get(name)
        if option is None:
            raise _refuse(
                f"flag provided but not defined: -{name}. --help lists ChartMuseum's flags; settings of "
                "Chartroom's own are given in the environment, as CHARTROOM_<NAME>."
            )
        if not given:
            text = "true" if option.kind == "bool" else _next_word(words, name)
        earlier = values.get(option.setting)
        if option.kind == "pairs" and earlier:
            text = f"{earlier},{text}"
        values[option.setting] = text
    for word in words:  # only what follows a bare --
        raise _stray(word)
    return values


def _split_flag(word: str) -> tuple[str, bool, str]:
    """Split `-name`, `--name` or either with `=value`: the name, whether a value is there, the value."""
    name, equals, text = word.removeprefix("-").removeprefix("-").partition("=")
    if not word.startswith("-") or word == "-":
        raise _stray(word)
    if not name or name.startswith("-"):
        raise _refuse(f"bad flag syntax: {word.partition('=')[0]}")  # a value may be a password
    return name, bool(equals), text


def _next_word(words: Iterator[str], name: str) -> str:
    """Take the word after a flag as its value."""
    for word in words:
        return word
    raise _refuse(f"flag needs an argument: -{name}. Write --{name}=<value>.")


def _stray(word: str) -> AppError:
    return _refuse(
        f"unexpected argument {word!r}: ChartMuseum's command line has flags only, and a switch takes its "
        "value with an equals sign (--debug=false)."
    )


def _refuse(message: str) -> AppError:
    return AppError(Kind.INVALID, message)


def render_help(meanings: Mapping[str, str]) -> str:
    """Render what --help prints: every flag with its environment name and what our setting means."""
    lines = [
        "Chartroom, told in ChartMuseum's words.",
        "",
        "Flags (-port 8080, --port=8080; a switch is --debug or --debug=false):",
    ]
    for option in OPTIONS:
        short = ", -c" if option.flag == "config" else ""
        lines.append(f"  --{option.flag}{short} ({option.kind}) [${option.env}]")
        meaning = meanings.get(option.setting, IGNORED)
        lines += textwrap.wrap(meaning, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    lines += ["  --help, -h", "      print this text", "  --version, -v", "      print the version"]
    return "\n".join(lines) + "\n"


# --- the config file -----------------------------------------------------------------------------------

_PAIRS_KEYS = frozenset(name for option in OPTIONS if option.kind == "pairs" for name in (option.key, option.setting))
_NULL = "tag:yaml.org,2002:null"
_DEEPEST = 8  # storage.amazon.bucket is the deepest key there is; a file that refers to itself has no end


def read_config_file(path: Path) -> dict[str, str]:
    """Read a config file and answer dotted key (lower case) -> text as written; nulls are left out.

    Nested keys and dotted keys mean the same, in any mixture. Lists are joined by commas. Values stay
    text, so that `basicauth.pass: 0123` is not a number first. Raises AppError(INVALID).
    """
    import yaml  # here, because most starts have no config file

    if not path.exists():
        raise _refuse(f"config file not found: {path}")
    if path.suffix not in {".yaml", ".yml", ""}:
        raise _refuse("config file must have .yaml/.yml extension (or no extension)")
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise _refuse(f"config file {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        # An error of the parser quotes the line at fault, which may hold a password: only say where.
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise _refuse(f"config file {path} is not YAML{where}: write `key: value` lines") from None
    if root is None or root.tag == _NULL:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise _refuse(f"config file {path} must hold `key: value` lines, not a list or a single value")
    return dict(_flatten(root, ""))


def _flatten(node: yaml.MappingNode, prefix: str) -> Iterator[tuple[str, str]]:
    """Walk a mapping and answer each value that is not itself a mapping under its dotted key."""
    if prefix.count(".") > _DEEPEST:
        raise _refuse(f"config file: {prefix.rstrip('.')} is nested too deeply; no setting lies there")
    for key_node, value in node.value:
        key = prefix + str(key_node.value).lower()
        if value.tag == _NULL:
            continue
        if isinstance(value.value, str):
            yield key, value.value
        elif value.id == "sequence":
            yield key, ",".join(_scalar(key, item) for item in value.value)
        elif key in _PAIRS_KEYS:
            yield key, ",".join(f"{name.value}={_scalar(key, item)}" for name, item in value.value)
        else:
            yield from _flatten(value, f"{key}.")


def _scalar(key: str, node: yaml.Node) -> str:
    if not isinstance(node.value, str):
        raise _refuse(f"config file: {key} takes plain values in its list, not lists or mappings")
    return node.value
