"""ChartMuseum's command line, environment names, config keys and value syntax, row by row.

TABLE is its documented table (version 0.16.5): flag, environment name, config key, type, default; `-` stands
for none. Each row is tried in all three ways.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from app import museum
from app.errors import AppError, Kind
from app.settings import Settings, load_settings, museum_help

TABLE = """
config CONFIG - string -
debug DEBUG debug bool false
log-json LOG_JSON logjson bool false
log-health LOG_HEALTH loghealth bool false
log-latency-integer LOG_LATENCY_INTEGER loglatencyinteger bool false
port PORT port int 8080
listen-host LISTEN_HOST listen.host string 0.0.0.0
read-timeout READ_TIMEOUT readtimeout int 30
write-timeout WRITE_TIMEOUT writetimeout int 30
context-path CONTEXT_PATH contextpath string -
tls-cert TLS_CERT tls.cert string -
tls-key TLS_KEY tls.key string -
tls-ca-cert TLS_CA_CERT tls.cacert string -
basic-auth-user BASIC_AUTH_USER basicauth.user string -
basic-auth-pass BASIC_AUTH_PASS basicauth.pass string -
auth-anonymous-get AUTH_ANONYMOUS_GET authanonymousget bool false
bearer-auth BEARER_AUTH bearerauth bool false
auth-realm AUTH_REALM authrealm string -
auth-service AUTH_SERVICE authservice string -
auth-cert-path AUTH_CERT_PATH authcertpath string -
auth-actions-search-path AUTH_ACTIONS_SEARCH_PATH authactionssearchpath string -
cors-alloworigin CORS_ALLOW_ORIGIN cors.alloworigin string -
depth DEPTH depth int 0
depth-dynamic DEPTH_DYNAMIC depthdynamic bool false
disable-api DISABLE_API disableapi bool false
disable-delete DISABLE_DELETE disabledelete bool false
allow-overwrite ALLOW_OVERWRITE allowoverwrite bool false
disable-force-overwrite DISABLE_FORCE_OVERWRITE disableforceoverwrite bool false
chart-post-form-field-name CHART_POST_FORM_FIELD_NAME chartpostformfieldname string chart
prov-post-form-field-name PROV_POST_FORM_FIELD_NAME provpostformfieldname string prov
max-upload-size MAX_UPLOAD_SIZE maxuploadsize int 20971520
max-storage-objects MAX_STORAGE_OBJECTS maxstorageobjects int 0
per-chart-limit PER_CHART_LIMIT per-chart-limit int 0
chart-url CHART_URL charturl string -
json-index JSON_INDEX json-index bool false
gen-index GEN_INDEX genindex bool false
index-limit INDEX_LIMIT indexlimit int 0
cache-interval CACHE_INTERVAL cacheinterval duration 5m
always-regenerate-chart-index ALWAYS_REGENERATE_CHART_INDEX always-regenerate-chart-index bool false
disable-statefiles DISABLE_STATEFILES disablestatefiles bool false
storage-timestamp-tolerance STORAGE_TIMESTAMP_TOLERANCE storage.timestamptolerance duration 0
cache CACHE cache.store string -
cache-redis-addr CACHE_REDIS_ADDR cache.redis.addr string -
cache-redis-password CACHE_REDIS_PASSWORD cache.redis.password string -
cache-redis-db CACHE_REDIS_DB cache.redis.db int 0
enable-metrics ENABLE_METRICS enablemetrics bool false
disable-metrics DISABLE_METRICS disablemetrics bool false
enforce-semver2 ENFORCE_SEMVER2 enforce-semver2 bool false
web-template-path WEB_TEMPLATE_PATH web-template-path string -
artifact-hub-repo-id ARTIFACT_HUB_REPO_ID artifact-hub-repo-id pairs -
storage STORAGE storage.backend string -
storage-alibaba-bucket STORAGE_ALIBABA_BUCKET storage.alibaba.bucket string -
storage-alibaba-endpoint STORAGE_ALIBABA_ENDPOINT storage.alibaba.endpoint string -
storage-alibaba-prefix STORAGE_ALIBABA_PREFIX storage.alibaba.prefix string -
storage-alibaba-sse STORAGE_ALIBABA_SSE storage.alibaba.sse string -
storage-amazon-bucket STORAGE_AMAZON_BUCKET storage.amazon.bucket string -
storage-amazon-endpoint STORAGE_AMAZON_ENDPOINT storage.amazon.endpoint string -
storage-amazon-force-path-style STORAGE_AMAZON_FORCE_PATH_STYLE storage.amazon.forcepathstyle bool true
storage-amazon-prefix STORAGE_AMAZON_PREFIX storage.amazon.prefix string -
storage-amazon-region STORAGE_AMAZON_REGION storage.amazon.region string -
storage-amazon-sse STORAGE_AMAZON_SSE storage.amazon.sse string -
storage-baidu-bucket STORAGE_BAIDU_BUCKET storage.baidu.bucket string -
storage-baidu-endpoint STORAGE_BAIDU_ENDPOINT storage.baidu.endpoint string -
storage-baidu-prefix STORAGE_BAIDU_PREFIX storage.baidu.prefix string -
storage-etcd-cafile STORAGE_ETCD_CAFILE storage.etcd.cafile string -
storage-etcd-certfile STORAGE_ETCD_CERTFILE storage.etcd.certfile string -
storage-etcd-endpoint STORAGE_ETCD_ENDPOINT storage.etcd.endpoint string http://localhost:2379
storage-etcd-keyfile STORAGE_ETCD_KEYFILE storage.etcd.keyfile string -
storage-etcd-prefix STORAGE_ETCD_PREFIX storage.etcd.prefix string -
storage-google-bucket STORAGE_GOOGLE_BUCKET storage.google.bucket string -
storage-google-prefix STORAGE_GOOGLE_PREFIX storage.google.prefix string -
storage-local-rootdir STORAGE_LOCAL_ROOTDIR storage.local.rootdir string -
storage-microsoft-container STORAGE_MICROSOFT_CONTAINER storage.microsoft.container string -
storage-microsoft-prefix STORAGE_MICROSOFT_PREFIX storage.microsoft.prefix string -
storage-openstack-auth STORAGE_OPENSTACK_AUTH storage.openstack.auth string auto
storage-openstack-cacert STORAGE_OPENSTACK_CACERT storage.openstack.cacert string -
storage-openstack-container STORAGE_OPENSTACK_CONTAINER storage.openstack.container string -
storage-openstack-prefix STORAGE_OPENSTACK_PREFIX storage.openstack.prefix string -
storage-openstack-region STORAGE_OPENSTACK_REGION storage.openstack.region string -
storage-oracle-bucket STORAGE_ORACLE_BUCKET storage.oracle.bucket string -
storage-oracle-compartmentid STORAGE_ORACLE_COMPARTMENTID storage.oracle.compartmentid string -
storage-oracle-prefix STORAGE_ORACLE_PREFIX storage.oracle.prefix string -
storage-oracle-region STORAGE_ORACLE_REGION storage.oracle.region string -
storage-tencent-bucket STORAGE_TENCENT_BUCKET storage.tencent.bucket string -
storage-tencent-endpoint STORAGE_TENCENT_ENDPOINT storage.tencent.endpoint string -
storage-tencent-prefix STORAGE_TENCENT_PREFIX storage.tencent.prefix string -
"""
ROWS = [["" if cell == "-" else cell for cell in line.split()] for line in TABLE.strip().splitlines()]
FLAGS = [row[0] for row in ROWS]
ROW_BY_FLAG = {row[0]: row for row in ROWS}

# Without effect here, though accepted: deprecated ones, and those of backends that are not built.
OURS_IS_CALLED = {"listen-host": "host", "cors-alloworigin": "cors_allow_origin"}
IGNORED_FLAGS = {"disable-metrics", "enforce-semver2"} | {
    flag for flag in FLAGS if flag.startswith("storage-") and flag.split("-")[1] not in ("local", "amazon", "timestamp")
}
EFFECTIVE_FLAGS = [flag for flag in FLAGS if flag not in IGNORED_FLAGS]

# What one row is tried with, where its type's sample is not allowed, and what must come along.
SAMPLES: Mapping[str, tuple[str, object]] = {
    "string": ("some-value", "some-value"),
    "int": ("7", 7),
    "bool": ("true", True),
    "duration": ("1h30m", 5400.0),
    "pairs": ("org1/repo1=abc,def", {"org1/repo1": "abc", "": "def"}),
    "cache": ("redis", "redis"),
    "context-path": ("charts/", "/charts"),
    "storage": ("amazon", "amazon"),
    "storage-amazon-force-path-style": ("f", False),
}
COMPANIONS: Mapping[str, Mapping[str, str]] = {
    "basic-auth-user": {"CHARTROOM_BASIC_AUTH_PASS": "x"},
    "basic-auth-pass": {"CHARTROOM_BASIC_AUTH_USER": "x"},
    "bearer-auth": {
        "CHARTROOM_AUTH_REALM": "x",
        "CHARTROOM_AUTH_SERVICE": "x",
        "CHARTROOM_AUTH_CERT_PATH": "x",
    },
    "tls-cert": {"CHARTROOM_TLS_KEY": "x"},
    "tls-key": {"CHARTROOM_TLS_CERT": "x"},
    "tls-ca-cert": {"CHARTROOM_TLS_CERT": "x", "CHARTROOM_TLS_KEY": "x"},
    "storage": {"CHARTROOM_STORAGE_AMAZON_BUCKET": "x", "CHARTROOM_STORAGE_AMAZON_REGION": "x"},
}
LOCAL = {"STORAGE": "local", "STORAGE_LOCAL_ROOTDIR": "/charts"}


def setting_of(flag: str) -> str:
    return OURS_IS_CALLED.get(flag, flag.replace("-", "_"))


def sample_of(flag: str) -> tuple[str, object]:
    return SAMPLES.get(flag) or SAMPLES[ROW_BY_FLAG[flag][3]]


def plain(value: object) -> object:
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value


def start(argv: list[str], environ: Mapping[str, str]) -> Settings:
    return load_settings(museum.parse_command_line(argv), environ, museum=True)


def ways_in(flag: str, folder: Path) -> dict[str, Settings]:
    """Start with one row given as flag, in the environment, and in the config file, dotted and nested."""
    _, env, key, kind, _ = ROW_BY_FLAG[flag]
    text = sample_of(flag)[0]
    base = {**COMPANIONS.get(flag, {}), "CHARTROOM_STORAGE": "/charts"}
    if flag == "storage":
        del base["CHARTROOM_STORAGE"]
    word = f"--{flag}" if (kind, text) == ("bool", "true") else f"--{flag}={text}"
    ways = {f"flag --{flag}": start([word], base), f"environment {env}": start([], {**base, env: text})}
    dotted, nested = folder / "dotted.yaml", folder / "nested.yml"
    dotted.write_text(f"{key}: {text}\n")
    *parents, last = key.split(".")
    lines = [f"{'  ' * depth}{parent}:" for depth, parent in enumerate(parents)]
    nested.write_text("\n".join([*lines, f"{'  ' * len(parents)}{last}: {text}"]))
    ways[f"config file key {key}"] = start([f"--config={dotted}"], base)
    ways[f"config file key {key} "] = start(["-c", str(nested)], base)
    return ways


def test_the_table_of_options_is_chartmuseums() -> None:
    ours = [[option.flag, option.env, option.key, option.kind] for option in museum.OPTIONS]
    assert sorted(ours) == sorted(row[:4] for row in ROWS)
    assert {option.flag for option in museum.OPTIONS if not option.effective} == IGNORED_FLAGS


@pytest.mark.parametrize("flag", [flag for flag in EFFECTIVE_FLAGS if flag != "config"])
def test_an_option_is_accepted_as_flag_in_the_environment_and_in_the_config_file(flag: str, tmp_path: Path) -> None:
    for way, settings in ways_in(flag, tmp_path).items():
        assert plain(getattr(settings, setting_of(flag))) == sample_of(flag)[1], way
        assert dict(settings.describe())[setting_of(flag)].endswith(f"[{way.strip()}]")


@pytest.mark.parametrize("flag", sorted(IGNORED_FLAGS))
def test_an_option_without_effect_is_accepted_in_all_three_ways_and_named(flag: str, tmp_path: Path) -> None:
    for way, settings in ways_in(flag, tmp_path).items():
        assert settings.warnings == (f"{way.strip()}: {museum.IGNORED}",)


@pytest.mark.parametrize("flag", EFFECTIVE_FLAGS)
def test_an_option_has_chartmuseums_default_with_its_command_line(flag: str) -> None:
    *_, kind, default = ROW_BY_FLAG[flag]
    settings = start([], LOCAL)
    if flag in ("storage", "storage-local-rootdir"):
        return  # there is no start without them
    if flag == "json-index":
        assert settings.json_index, "the one default that stays ours"
        return
    parsers: dict[str, Callable[[str], object]] = {
        "int": int,
        "bool": museum.parse_boolean,
        "duration": museum.parse_duration,
        "pairs": lambda _: {},
    }
    expected = parsers.get(kind, str)(default)
    assert plain(getattr(settings, setting_of(flag))) == expected


def test_the_config_file_is_found_by_flag_short_flag_and_environment(tmp_path: Path) -> None:
    file = tmp_path / "museum"
    file.write_text("port: 7\n")
    for argv, environ in (
        (["--config", str(file)], {}),
        (["-c", str(file)], {}),
        ([], {"CONFIG": str(file)}),
        ([], {"CHARTROOM_CONFIG": str(file)}),
    ):
        assert start(argv, {**LOCAL, **environ}).port == 7


# --- the command line ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], {}),
        (["-port", "8081"], {"port": "8081"}),
        (["--port", "8081"], {"port": "8081"}),
        (["-port=8081"], {"port": "8081"}),
        (["--port=8081", "--port=8082"], {"port": "8082"}),
        (["--debug"], {"debug": "true"}),
        (["-debug", "-log-json"], {"debug": "true", "log_json": "true"}),
        (["--debug=false"], {"debug": "false"}),
        (["--chart-url="], {"chart_url": ""}),
        (["--chart-url", "-odd"], {"chart_url": "-odd"}),
        (["--auth-actions-search-path=a[?b=='c']"], {"auth_actions_search_path": "a[?b=='c']"}),
        (["--listen-host", "::"], {"host": "::"}),
        (["--cors-alloworigin=*"], {"cors_allow_origin": "*"}),
        (["--artifact-hub-repo-id=a=1", "--artifact-hub-repo-id", "2"], {"artifact_hub_repo_id": "a=1,2"}),
        (["--gen-index", "--"], {"gen_index": "true"}),
        (["--debug", "--help"], {"debug": "true", "help": "true"}),
        (["-h"], {"help": "true"}),
        (["-v"], {"version": "true"}),
        (["--version"], {"version": "true"}),
    ],
)
def test_go_flag_syntax_is_read(argv: list[str], expected: dict[str, str]) -> None:
    assert museum.parse_command_line(argv) == expected


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--prot=1"], "flag provided but not defined: -prot"),
        (["--port"], "flag needs an argument: -port"),
        (["---port=secret"], "bad flag syntax: ---port. "),
        (["--=1"], "bad flag syntax: --"),
        (["--debug", "true"], "unexpected argument 'true'"),
        (["-"], "unexpected argument '-'"),
        (["--debug", "--", "serve"], "unexpected argument 'serve'"),
    ],
)
def test_a_wrong_command_line_is_refused_with_a_reason(argv: list[str], message: str) -> None:
    with pytest.raises(AppError) as caught:
        museum.parse_command_line(argv)
    assert caught.value.kind is Kind.INVALID
    assert caught.value.message.startswith(message.rstrip(". "))
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], False),
        (["serve"], False),
        (["serve", "--port", "1"], False),
        (["--help"], False),
        (["-h"], False),
        (["--version"], False),
        (["--install-completion"], False),
        (["--show-completion"], False),
        (["--port=8080"], True),
        (["-port", "8080"], True),
        (["-v"], True),
        (["-c", "x.yaml"], True),
    ],
)
def test_chartmuseums_command_line_is_told_from_ours(argv: list[str], expected: bool) -> None:
    assert museum.is_museum_command_line(argv) is expected


def test_help_lists_every_flag_with_its_environment_name() -> None:
    text = museum_help()
    for flag, env, *_ in ROWS:
        assert f"  --{flag}" in text
        assert f"[${env}]" in text
    assert text.count(museum.IGNORED) == len(IGNORED_FLAGS)


def test_a_wrong_value_is_refused_by_the_name_of_its_flag() -> None:
    with pytest.raises(AppError, match=r"port is 'x' \(flag --port\): not a whole number"):
        start(["--port=x"], LOCAL)
    with pytest.raises(AppError, match=r"host is '' \(flag --listen-host\)"):
        start(["--listen-host="], LOCAL)


# --- starts that ChartMuseum refuses -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "Missing required flags(s): --storage"),
        (["--storage="], "Missing required flags(s): --storage"),
        (["--storage=local"], "Missing required flags(s): --storage-local-rootdir"),
        (
            ["--storage=amazon"],
            "Missing required flags(s): --storage-amazon-bucket, --storage-amazon-region",
        ),
        (
            ["--storage=amazon", "--storage-amazon-bucket=b"],
            "Missing required flags(s): --storage-amazon-region",
        ),
        (["--storage=garage"], "Unsupported storage backend: garage"),
        (["--storage=my-folder"], "Unsupported storage backend: my-folder"),
        (["--storage=/x", "--cache=wallet"], "Unsupported cache store: wallet"),
        (["--storage=/x", "--bearer-auth"], "Missing Auth Realm"),
        (["--storage=/x", "--bearer-auth", "--auth-realm=r"], "Missing Auth Service"),
        (
            ["--storage=/x", "--bearer-auth", "--auth-realm=r", "--auth-service=s"],
            "Missing Auth Server Public Cert Path",
        ),
        (["--storage=/x", "--config=x.yaml"], "config file not found: x.yaml"),
    ],
)
def test_a_start_is_refused_in_chartmuseums_words(argv: list[str], message: str) -> None:
    with pytest.raises(AppError) as caught:
        start(argv, {})
    assert (caught.value.kind, caught.value.message) == (Kind.INVALID, message)


@pytest.mark.parametrize("word", sorted(museum.BACKENDS - {"local", "amazon"}))
def test_a_backend_that_is_not_built_stops_the_start_and_names_the_s3_way(word: str) -> None:
    for ours in ({"CHARTROOM_STORAGE": word.upper()}, {"STORAGE": word}):
        with pytest.raises(AppError) as caught:
            load_settings({}, ours)
        assert caught.value.message.startswith(f"storage backend {word} is not built")
        assert "STORAGE=amazon" in caught.value.message
        assert "STORAGE_AMAZON_ENDPOINT=" in caught.value.message


def test_the_backends_are_the_ten_words_chartmuseum_knows() -> None:
    words = "local amazon google oracle microsoft alibaba openstack baidu etcd tencent"
    assert set(words.split()) == museum.BACKENDS


# --- value syntax --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_go_reads_it_as_true(text: str) -> None:
    assert museum.parse_boolean(text) is True


@pytest.mark.parametrize("text", ["", "0", "f", "F", "FALSE", "false", "False"])
def test_go_reads_it_as_false(text: str) -> None:
    assert museum.parse_boolean(text) is False


@pytest.mark.parametrize("text", ["yes", "on", "tRUE", " true", "2"])
def test_go_does_not_read_it_as_a_switch(text: str) -> None:
    with pytest.raises(ValueError, match="write true or false"):
        museum.parse_boolean(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("1.s", 1.0),
        ("300ms", 0.3),
        ("2us", 2e-6),
        ("2µs", 2e-6),
        ("7ns", 7e-9),
        ("+1s", 1.0),
        ("-1m", -60.0),
        ("1h0m0.25s", 3600.25),
    ],
)
def test_a_go_duration_is_read_as_seconds(text: str, seconds: float) -> None:
    assert museum.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "m", ".s", "5 m", "5d", "1h30", "5m!", "--5m", "5M", "1e3s"])
def test_what_is_not_a_go_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        museum.parse_duration(text)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("8080", 8080), ("-1", -1), ("+7", 7), ("010", 10)])
def test_a_whole_number_is_read(text: str, number: int) -> None:
    assert museum.parse_integer(text) == number


@pytest.mark.parametrize("text", ["", "1.0", "1e3", "1_000", " 1", "٣", "9" * 19])
def test_what_is_not_a_whole_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a whole number"):
        museum.parse_integer(text)


# --- the config file -----------------------------------------------------------------------------------


def read(tmp_path: Path, text: str, name: str = "museum.yaml") -> dict[str, str]:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return museum.read_config_file(file)


def test_nested_dotted_and_mixed_keys_mean_the_same(tmp_path: Path) -> None:
    expected = {"storage.amazon.bucket": "b", "storage.backend": "amazon"}
    assert read(tmp_path, "storage:\n  backend: amazon\n  amazon:\n    bucket: b\n") == expected
    assert read(tmp_path, "storage.backend: amazon\nstorage.amazon.bucket: b\n") == expected
    assert read(tmp_path, "Storage.Amazon:\n  Bucket: b\nstorage.backend: amazon\n") == expected


def test_values_stay_as_written_and_nulls_are_left_out(tmp_path: Path) -> None:
    text = "basicauth:\n  user: 0123\n  pass: '~'\nport: ~\ndebug:\ndepth: 1_0\nlogjson: yes\n"
    assert read(tmp_path, text) == {
        "basicauth.user": "0123",
        "basicauth.pass": "~",
        "depth": "1_0",
        "logjson": "yes",
    }


def test_pairs_may_be_text_a_list_or_a_mapping(tmp_path: Path) -> None:
    for text in ("org1/a=1,Org2=2", "[org1/a=1, Org2=2]", "{org1/a: 1, Org2: 2}"):
        assert read(tmp_path, f"artifact-hub-repo-id: {text}") == {"artifact-hub-repo-id": "org1/a=1,Org2=2"}


@pytest.mark.parametrize("text", ["", "# nothing\n", "~\n", "{}"])
def test_an_empty_file_sets_nothing(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "must hold"),
        ("word", "must hold"),
        ("a: b: hunter2\n", r"is not YAML \(line 1\)"),
        ("a: 1\n---\nb: 1\n", "is not YAML"),
        ("a: [[1]]\n", "takes plain values in its list"),
        ("a: &x\n  b: *x\n", "nested too deeply"),
    ],
)
def test_a_file_that_is_no_config_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AppError, match=message) as caught:
        read(tmp_path, text)
    assert "hunter2" not in caught.value.message


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xff")
    for path in (tmp_path, tmp_path / "bytes.yaml"):
        with pytest.raises(AppError, match="cannot be read"):
            museum.read_config_file(path)


def test_a_file_name_needs_the_right_ending_or_none(tmp_path: Path) -> None:
    for name in ("a.yaml", "a.yml", "a"):
        assert read(tmp_path, "port: 1", name) == {"port": "1"}
    with pytest.raises(AppError) as caught:
        read(tmp_path, "port: 1", "a.json")
    assert caught.value.message == "config file must have .yaml/.yml extension (or no extension)"
