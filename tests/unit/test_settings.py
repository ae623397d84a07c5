"""Where settings come from, which win, what they amount to, and what is refused."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from app.errors import AppError, Kind
from app.settings import BucketPlace, FolderPlace, Settings, load_settings, settings_table

FIELDS = Settings.model_fields


def config(tmp_path: Path, text: str) -> dict[str, str]:
    """Write a config file and answer the environment that names it."""
    file = tmp_path / "chartroom.yaml"
    file.write_text(text)
    return {"CHARTROOM_CONFIG": str(file)}


def origin_of(settings: Settings, name: str) -> str:
    return dict(settings.describe())[name].partition("  ")[2]


# --- defaults ------------------------------------------------------------------------------------------


def test_without_any_setting_it_serves_this_machine_from_a_folder_with_any_depth() -> None:
    settings = load_settings({}, {})
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8080, 1)
    assert settings.storage_place() == FolderPlace(Path.cwd() / "data")
    assert settings.database_url() == f"sqlite:///{Path.cwd()}/data/.chartroom/chartroom.db"
    assert settings.fixed_depth is None
    assert settings.enable_metrics
    assert settings.json_index
    assert settings.warnings == ()
    assert {origin_of(settings, name) for name in FIELDS} == {"[default]"}


def test_the_environment_is_the_process_s_own_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARTROOM_WORKERS", "3")
    assert load_settings().workers == 3
    assert load_settings({}, {}).workers == 1
    assert Settings().workers == 1, "the class itself reads nothing"


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if isinstance(field.default, bool)])
def test_every_switch_has_a_name_of_ours_and_reads_empty_as_off(name: str) -> None:
    companions = {f"CHARTROOM_AUTH_{part}": "x" for part in ("REALM", "SERVICE", "CERT_PATH")}
    for text, value in (("T", True), ("", False), ("0", False)):
        settings = load_settings({}, {**companions, f"CHARTROOM_{name.upper()}": text})
        assert getattr(settings, name) is value


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if not isinstance(field.default, bool)])
def test_an_empty_variable_that_is_no_switch_is_not_set(name: str) -> None:
    settings = load_settings({}, {f"CHARTROOM_{name.upper()}": ""})
    assert getattr(settings, name) == FIELDS[name].default


# --- precedence ----------------------------------------------------------------------------------------


def test_a_flag_wins_over_the_environment_over_the_config_file_over_the_default(tmp_path: Path) -> None:
    environ = config(tmp_path, "port: 3\n")
    assert load_settings({}, environ).port == 3
    assert load_settings({}, {**environ, "PORT": "2"}).port == 2
    assert load_settings({"port": "1"}, {**environ, "PORT": "2"}).port == 1


def test_our_name_wins_over_chartmuseum_s(tmp_path: Path) -> None:
    environ = config(tmp_path, "listen.host: theirs\nhost: ours\n")
    assert load_settings({}, environ).host == "ours"
    assert load_settings({}, {"PORT": "1", "CHARTROOM_PORT": "2"}).port == 2
    assert load_settings({}, {"PORT": "1", "CHARTROOM_PORT": ""}).port == 1


def test_it_says_where_each_value_came_from(tmp_path: Path) -> None:
    environ = {**config(tmp_path, "depth: 1\nlogjson: true\n"), "LISTEN_HOST": "h", "CHARTROOM_WORKERS": "2"}
    settings = load_settings({"storage": "/charts"}, environ)
    assert origin_of(settings, "storage") == "[flag --storage]"
    assert origin_of(settings, "host") == "[environment LISTEN_HOST]"
    assert origin_of(settings, "workers") == "[environment CHARTROOM_WORKERS]"
    assert origin_of(settings, "depth") == "[config file key depth]"
    assert origin_of(settings, "log_json") == "[config file key logjson]"
    assert origin_of(settings, "port") == "[default]"
    museum = load_settings({"storage": "/charts"}, {}, museum=True)
    assert origin_of(museum, "host") == "[ChartMuseum's default]"


@pytest.mark.parametrize("variable", ["CHARTROOM_PORT", "PORT"])
def test_a_port_that_kubernetes_set_for_a_service_is_ignored(variable: str) -> None:
    assert load_settings({}, {variable: "tcp://10.0.0.7:80"}).port == 8080
    assert load_settings({}, {"CHARTROOM_PORT": "tcp://10.0.0.7:80", "PORT": "81"}).port == 81


def test_an_empty_flag_is_meant_and_hides_the_config_file(tmp_path: Path) -> None:
    environ = config(tmp_path, "charturl: https://charts.example.com\n")
    assert load_settings({}, environ).chart_url == "https://charts.example.com"
    assert load_settings({"chart_url": ""}, environ).chart_url == ""


# --- what is ignored -----------------------------------------------------------------------------------


def test_unknown_keys_and_variables_are_warned_about_with_a_guess(tmp_path: Path) -> None:
    environ = {**config(tmp_path, "dept: 1\nnested:\n  key: 1\n"), "CHARTROOM_WORKER": "2", "HOME": "/root"}
    assert load_settings({}, environ).warnings == (
        "config file key dept: unknown and ignored; did you mean depth?",
        "config file key nested.key: unknown and ignored",
        "environment CHARTROOM_WORKER: unknown and ignored; did you mean CHARTROOM_WORKERS?",
    )


def test_what_kubernetes_sets_for_services_of_our_name_is_no_reason_to_warn() -> None:
    environ = {
        "CHARTROOM_SERVICE_HOST": "10.0.0.7",
        "CHARTROOM_SERVICE_PORT": "80",
        "CHARTROOM_SERVICE_PORT_HTTP": "80",
        "CHARTROOM_PORT": "tcp://10.0.0.7:80",
        "CHARTROOM_PORT_80_TCP": "tcp://10.0.0.7:80",
        "CHARTROOM_PORT_80_TCP_ADDR": "10.0.0.7",
        "CHARTROOM_POSTGRES_SERVICE_HOST": "10.0.0.8",
        "CHARTROOM_POSTGRES_PORT": "tcp://10.0.0.8:5432",
        "CHARTROOM_TEST_S3": "endpoint,bucket,key,secret",
    }
    assert load_settings({}, environ).warnings == ()
    assert load_settings({}, {"CHARTROOM_LISTEN_PORT": "80"}).warnings


def test_settings_without_effect_are_named_when_they_are_changed() -> None:
    environ = {"DISABLE_STATEFILES": "true", "CACHE": "redis", "ALWAYS_REGENERATE_CHART_INDEX": "false"}
    warned = [warning.partition(" ")[0] for warning in load_settings({}, environ).warnings]
    assert warned == ["disable_statefiles", "cache"]


# --- where charts and rows lie -------------------------------------------------------------------------


def test_a_folder_is_a_folder_under_our_own_name_even_if_it_looks_like_a_word() -> None:
    for flags, environ in (
        ({"storage": "garage"}, {}),
        ({}, {"CHARTROOM_STORAGE": "garage"}),
        ({}, {"STORAGE": "./garage"}),
    ):
        assert load_settings(flags, environ).storage_place() == FolderPlace(Path.cwd() / "garage")
    with pytest.raises(AppError, match=r"^Unsupported storage backend: garage$"):
        load_settings({}, {"STORAGE": "garage"})


def test_a_backend_word_is_never_a_folder() -> None:
    with pytest.raises(AppError, match=r"--storage-local-rootdir$"):
        load_settings({"storage": "Local"}, {})
    settings = load_settings({"storage": "LOCAL"}, {"STORAGE_LOCAL_ROOTDIR": "/charts"})
    assert settings.storage_place() == FolderPlace(Path("/charts"))
    assert settings.database_url() == "sqlite:////charts/.chartroom/chartroom.db"


def test_a_home_folder_is_found() -> None:
    assert Settings(storage="~/charts").storage_place() == FolderPlace(Path.home() / "charts")


def test_an_s3_address_is_a_bucket_with_a_prefix() -> None:
    place = Settings(storage="s3://my-bucket/a/b/").storage_place()
    assert place == BucketPlace("my-bucket", "a/b", "", "", "", True, False)
    assert Settings(storage="S3://b").storage_place() == BucketPlace("b", "", "", "", "", True, False)


def test_the_amazon_backend_is_a_bucket_and_an_endpoint_brings_a_region() -> None:
    environ = {
        "STORAGE": "amazon",
        "STORAGE_AMAZON_BUCKET": "b",
        "STORAGE_AMAZON_PREFIX": "/p/",
        "STORAGE_AMAZON_ENDPOINT": "minio:9000/",
        "STORAGE_AMAZON_SSE": "AES256",
        "STORAGE_AMAZON_FORCE_PATH_STYLE": "false",
        "AWS_INSECURE_SKIP_VERIFY": "true",
    }
    place = load_settings({}, environ).storage_place()
    assert place == BucketPlace("b", "p", "https://minio:9000", "us-east-1", "AES256", False, True)
    environ["STORAGE_AMAZON_REGION"] = "eu-north-1"
    place = load_settings({}, environ).storage_place()
    assert isinstance(place, BucketPlace)
    assert place.region == "eu-north-1"


def test_with_a_bucket_the_database_lies_in_the_data_folder() -> None:
    settings = Settings(storage="s3://b")
    assert settings.database_url() == f"sqlite:///{Path.cwd()}/data/.chartroom/chartroom.db"


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("gs://bucket", "scheme gs://, which is not built"),
        ("s3://", "names no bucket"),
        ("s3:///prefix", "names no bucket"),
        ("s3://key:hunter2@bucket", "AWS_ACCESS_KEY_ID"),
    ],
)
def test_a_storage_address_that_is_not_built_is_refused(storage: str, message: str) -> None:
    with pytest.raises(AppError, match=message) as caught:
        load_settings({"storage": storage}, {})
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("sqlite:////var/x.db", "sqlite:////var/x.db"),
        ("postgres://u:p@h/n", "postgresql+psycopg://u:p@h/n"),
        ("postgresql://u:p@h/n", "postgresql+psycopg://u:p@h/n"),
        ("postgresql+psycopg://h/n", "postgresql+psycopg://h/n"),
    ],
)
def test_a_database_url_gets_the_driver_that_is_installed(given: str, url: str) -> None:
    assert Settings(database=SecretStr(given)).database_url() == url


@pytest.mark.parametrize("url", ["mysql://u:hunter2@h/n", "u:hunter2@h/n", "sqlite+aiosqlite:///hunter2"])
def test_an_unknown_database_is_refused_without_quoting_its_password(url: str) -> None:
    with pytest.raises(AppError, match="not a URL of a database we know") as caught:
        load_settings({"database": url}, {})
    assert "hunter2" not in caught.value.message


def test_odd_characters_of_a_folder_do_not_end_the_database_url() -> None:
    settings = Settings(storage="/a?b%20c")
    assert settings.database_url() == "sqlite:////a%3Fb%2520c/.chartroom/chartroom.db"


# --- values --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "path"),
    [("", ""), ("/", ""), ("charts", "/charts"), ("/charts/", "/charts"), ("//a/b//", "/a/b")],
)
def test_a_context_path_has_a_leading_slash_and_no_trailing_one(given: str, path: str) -> None:
    assert Settings(context_path=given).context_path == path


@pytest.mark.parametrize(
    ("text", "identifiers"),
    [
        ("abc", {"": "abc"}),
        ("org1=abc", {"org1": "abc"}),
        ("org1/repo1=abc, /org2/=def,", {"org1/repo1": "abc", "org2": "def"}),
    ],
)
def test_artifact_hub_identifiers_belong_to_the_root_or_to_a_tenant(text: str, identifiers: dict[str, str]) -> None:
    assert load_settings({}, {"ARTIFACT_HUB_REPO_ID": text}).artifact_hub_repo_id == identifiers


@pytest.mark.parametrize(
    ("environ", "depth"),
    [
        ({}, None),
        ({"DEPTH": "0"}, 0),
        ({"DEPTH": "2"}, 2),
        ({"DEPTH": "2", "DEPTH_DYNAMIC": "true"}, None),
        ({"CHARTROOM_DEPTH": ""}, None),
    ],
)
def test_a_depth_is_fixed_only_if_given_and_not_dynamic(environ: dict[str, str], depth: int | None) -> None:
    assert load_settings({}, environ).fixed_depth == depth


def test_debug_lowers_the_level() -> None:
    assert Settings(log_level="warning").level == "warning"
    assert load_settings({}, {"CHARTROOM_LOG_LEVEL": "WARNING"}).level == "warning"
    assert Settings(log_level="warning", debug=True).level == "debug"


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"host": "0.0.0.0", "context_path": "c"}, "http://127.0.0.1:8080/c"),
        ({"host": "::", "port": "81"}, "http://127.0.0.1:81"),
        ({"host": "::1"}, "http://[::1]:8080"),
        ({"host": "charts", "tls_cert": "c", "tls_key": "k"}, "https://charts:8080"),
    ],
)
def test_the_address_can_be_typed_on_this_machine(given: dict[str, str], address: str) -> None:
    settings = load_settings(given, {})
    assert settings.address() == settings.public_address() == address


def test_the_public_address_is_as_set_with_the_context_path() -> None:
    settings = Settings(public_url="https://charts.example.com/", context_path="c")
    assert settings.public_address() == "https://charts.example.com/c"


# --- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"PORT": "http"}, r"port is 'http' \(environment PORT\): not a whole number: write digits only"),
        (
            {"PORT": "70000"},
            r"port is '70000' \(environment PORT\): it should be less than or equal to 65535",
        ),
        ({"CHARTROOM_WORKERS": "0"}, r"workers is '0' .* it should be greater than or equal to 1"),
        ({"DEPTH": "-1"}, r"depth is '-1' \(environment DEPTH\): it should be greater"),
        ({"DEBUG": "yes"}, r"debug is 'yes' \(environment DEBUG\): not a switch: write true or false"),
        ({"CACHE_INTERVAL": "300"}, r"cache_interval is '300' .* not a duration"),
        ({"CACHE_INTERVAL": "-5m"}, r"cache_interval is '-5m' .* it should be greater"),
        ({"CHARTROOM_LOG_LEVEL": "loud"}, r"log_level is 'loud' .* it should be 'debug', 'info'"),
        ({"CACHE": "wallet"}, r"^Unsupported cache store: wallet$"),
        ({"BASIC_AUTH_USER": "u"}, r"basic_auth_user is set and basic_auth_pass is not"),
        ({"BASIC_AUTH_PASS": "hunter2"}, r"basic_auth_pass is set and basic_auth_user is not"),
        ({"TLS_CERT": "c"}, r"TLS needs both tls_cert and tls_key"),
        ({"TLS_KEY": "k"}, r"TLS needs both tls_cert and tls_key"),
        ({"TLS_CA_CERT": "c"}, r"TLS needs both tls_cert and tls_key"),
        ({"CHARTROOM_PUBLIC_URL": "charts.example.com"}, r"public_url is .* write the whole address"),
        ({"CONFIG": "x.yaml"}, r"^config file not found: x.yaml$"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name_and_what_to_do(environ: dict[str, str], message: str) -> None:
    with pytest.raises(AppError, match=message) as caught:
        load_settings({}, environ)
    assert caught.value.kind is Kind.INVALID
    assert "hunter2" not in caught.value.message


def test_all_wrong_values_are_told_at_once() -> None:
    with pytest.raises(AppError) as caught:
        load_settings({}, {"PORT": "x", "DEPTH": "y"})
    assert len(caught.value.message.splitlines()) == 2


def test_a_setting_that_does_not_exist_is_a_slip_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no such settings"):
        load_settings({"prot": "1"}, {})
    with pytest.raises(ValidationError):
        Settings(prot=1)  # type: ignore[call-arg]


def test_settings_do_not_change_after_the_start() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1


# --- secrets -------------------------------------------------------------------------------------------


def test_secrets_are_never_shown() -> None:
    environ = {
        "BASIC_AUTH_USER": "ann",
        "BASIC_AUTH_PASS": "hunter2://hunter2",
        "CACHE_REDIS_PASSWORD": "hunter2",
        "CHARTROOM_DATABASE": "postgresql://ann:hunter2?hunter2@db.example.com/charts?password=hunter2",
    }
    settings = load_settings({}, environ)
    shown = dict(settings.describe())
    everything = (settings, repr(settings), settings.model_dump(), shown, settings.warnings)
    assert "hunter2" not in " ".join(str(part) for part in everything)
    assert shown["basic_auth_pass"] == "********  [environment BASIC_AUTH_PASS]"
    assert shown["database"].startswith("postgresql://********@db.example.com/charts  [")
    assert "hunter2" in settings.database_url()


def test_a_database_without_account_is_shown_whole() -> None:
    settings = load_settings({"database": "sqlite:////var/x.db"}, {})
    assert dict(settings.describe())["database"] == "sqlite:////var/x.db  [flag --database]"


def test_values_are_shown_as_they_may_be_given() -> None:
    given = {
        "cache_interval": "90s",
        "artifact_hub_repo_id": "a=1,2",
        "depth": "0",
        "chart_url": "https://c/",
    }
    shown = {name: text.partition("  ")[0] for name, text in load_settings(given, {}).describe()}
    assert shown["cache_interval"] == "90s"
    assert shown["artifact_hub_repo_id"] == "a=1,2"
    assert shown["depth"] == "0"
    assert shown["chart_url"] == "https://c"
    assert shown["debug"] == "false"
    assert shown["public_url"] == "(empty)"
    assert (
        load_settings({"cache_interval": "1h"}, {}).describe()
        == load_settings({"cache_interval": "60m"}, {}).describe()
    )


# --- the table -----------------------------------------------------------------------------------------


def test_every_setting_has_a_row_with_its_names_default_and_meaning() -> None:
    lines = settings_table().splitlines()
    assert len(lines) == 2 + len(FIELDS)
    assert all(line.count("|") == 5 for line in lines)
    assert all(field.description and "\n" not in field.description for field in FIELDS.values())
    assert (
        "| `CHARTROOM_CORS_ALLOW_ORIGIN` | `CORS_ALLOW_ORIGIN` `--cors-alloworigin` |  "
        "| value of the Access-Control-Allow-Origin header |"
    ) in lines
    assert (
        "| `CHARTROOM_CACHE_INTERVAL` | `CACHE_INTERVAL` `--cache-interval` | `5m` "
        "| how often files laid down in ChartMuseum's layout are looked for; 0 for never |"
    ) in lines


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "config"])
def test_every_setting_s_own_name_is_a_key_of_the_config_file(name: str, tmp_path: Path) -> None:
    default = dict(Settings().describe())[name].partition("  ")[0].replace("(empty)", "")
    settings = load_settings({}, config(tmp_path, f"{name}: '{default}'\n"))
    assert settings.warnings == ()
    assert getattr(settings, name) == getattr(Settings(), name)


def test_settings_travel_to_worker_processes() -> None:
    settings = load_settings({"port": "81"}, {"CHARTROOM_X": "1"})
    copy = pickle.loads(pickle.dumps(settings))
    assert copy == settings
    assert copy.describe() == settings.describe()
    assert copy.warnings == settings.warnings


def test_reading_settings_loads_neither_the_database_nor_the_web_nor_yaml() -> None:
    heavy = "{'sqlalchemy', 'fastapi', 'boto3', 'jinja2', 'yaml', 'httpx'}"
    code = f"import sys, app.settings as s; s.load_settings({{}}, {{}}); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
