"""Chart.yaml as Helm reads, judges and writes it. The texts were taken from Helm's loader itself."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.metadata import Dependency, Maintainer, Metadata, check_lock, read_metadata
from app.errors import AppError, Kind

NO_YAML = "cannot load Chart.yaml: error converting YAML to JSON: yaml: "
GOOD = b"name: mychart\nversion: 0.1.0\n"


def complaint(chart_yaml: bytes, requirements_yaml: bytes | None = None) -> str:
    with pytest.raises(AppError) as caught:
        read_metadata(chart_yaml, requirements_yaml)
    assert caught.value.kind is Kind.INVALID
    return caught.value.message


def test_every_field_is_read() -> None:
    read = read_metadata(b"""
apiVersion: v2
name: mychart
version: 1.2.3+b1
kubeVersion: '>=1.20.0-0'
description: about
type: library
keywords: [a, 1.50, no, ~]
home: https://x
sources: [https://y, https://z]
maintainers:
- name: Ann
  email: ann@x.y
  url: https://ann
- name: Bob
icon: https://i
appVersion: 1.10
deprecated: yes
condition: a.b
tags: t
annotations: {z: 1, a: null, b: true}
dependencies:
- {name: d, version: 1.x, repository: https://r, condition: c, tags: [t, 2], enabled: true, alias: e,
   import-values: [data, {child: x, parent: 1.0}]}
unknown: {field: ignored}
""")
    assert read == Metadata(
        name="mychart",
        version="1.2.3+b1",
        api_version="v2",
        home="https://x",
        sources=("https://y", "https://z"),
        description="about",
        keywords=("a", "1.5", "false", ""),
        maintainers=(Maintainer("Ann", "ann@x.y", "https://ann"), Maintainer("Bob")),
        icon="https://i",
        condition="a.b",
        tags="t",
        app_version="1.1",
        deprecated=True,
        annotations={"z": "1", "a": "", "b": "true"},
        kube_version=">=1.20.0-0",
        dependencies=(
            Dependency("d", "1.x", "https://r", "c", ("t", "2"), True, ("data", {"child": "x", "parent": 1}), "e"),
        ),
        type="library",
    )


@pytest.mark.parametrize(
    ("chart_yaml", "message"),
    [
        (b"a: [", NO_YAML + "line 1: did not find expected node content"),
        (b"name: caf\xe9", NO_YAML + "incomplete UTF-8 octet sequence"),
        (b"name: \x00", NO_YAML + "control characters are not allowed"),
        (b"", "validation: chart.metadata.name is required"),
        (b"version: 1.0.0", "validation: chart.metadata.name is required"),
        (b"name: \nversion: 1.0.0", "validation: chart.metadata.name is required"),
        (b"name: ..\nversion: 1.0.0", 'validation: chart.metadata.name ".." is not allowed'),
        (b"name: .\nversion: 1.0.0", 'validation: chart.metadata.name "." is not allowed'),
        (b"name: ../x\nversion: 1.0.0", 'validation: chart.metadata.name "../x" is invalid'),
        (b"name: x/\nversion: 1.0.0", 'validation: chart.metadata.name "x/" is invalid'),
        (b"name: x", "validation: chart.metadata.version is required"),
        (b"name: x\nversion: abc", 'validation: chart.metadata.version "abc" is invalid'),
        (b"name: x\nversion: 1.2.3.4", 'validation: chart.metadata.version "1.2.3.4" is invalid'),
        (b"name: x\nversion: 1.0.0-01", 'validation: chart.metadata.version "1.0.0-01" is invalid'),
        (b'name: x\nversion: "1\\n2"', 'validation: chart.metadata.version "1\\n2" is invalid'),
        (GOOD + b"type: other", "validation: chart.metadata.type must be application or library"),
        (GOOD + b"maintainers: [~]", "validation: maintainers must not contain empty or null nodes"),
        (GOOD + b"dependencies: [~]", "validation: dependencies must not contain empty or null nodes"),
        (
            GOOD + b"dependencies: [{name: d}, {name: d}]",
            'validation: more than one dependency with name or alias "d"',
        ),
        (
            GOOD + b"dependencies: [{name: a, alias: d}, {name: d}]",
            'validation: more than one dependency with name or alias "d"',
        ),
        (
            GOOD + b"dependencies: [{name: d, alias: 'a b'}]",
            'validation: dependency "d" has disallowed characters in the alias',
        ),
    ],
)  # fmt: skip
def test_bad_metadata_is_refused_in_helms_words(chart_yaml: bytes, message: str) -> None:
    assert complaint(chart_yaml) == message


@pytest.mark.parametrize(
    ("chart_yaml", "problem"),
    [
        (b"[1]", "array into Go value of type chart.Metadata"),
        (b"abc", "string into Go value of type chart.Metadata"),
        (b"12", "number into Go value of type chart.Metadata"),
        (b"true", "bool into Go value of type chart.Metadata"),
        (b"name: [x]", "array into Go struct field Metadata.name of type string"),
        (b"keywords: a", "string into Go struct field Metadata.keywords of type []string"),
        (b"keywords: [{a: 1}]", "object into Go struct field Metadata.keywords of type string"),
        (b'deprecated: "true"', "string into Go struct field Metadata.deprecated of type bool"),
        (b"deprecated: 1", "number into Go struct field Metadata.deprecated of type bool"),
        (b"annotations: {a: [1]}", "array into Go struct field Metadata.annotations of type string"),
        (b"annotations: [1]", "array into Go struct field Metadata.annotations of type map[string]string"),
        (b"maintainers: [1]", "number into Go struct field Metadata.maintainers of type chart.Maintainer"),
        (b"maintainers: {a: 1}", "object into Go struct field Metadata.maintainers of type []*chart.Maintainer"),
        (b"maintainers: [{name: {}}]", "object into Go struct field Maintainer.maintainers.name of type string"),
        (b"dependencies: [{enabled: x}]", "string into Go struct field Dependency.dependencies.enabled of type bool"),
        (b"dependencies: [{tags: [[x]]}]", "array into Go struct field Dependency.dependencies.tags of type string"),
    ],
)  # fmt: skip
def test_a_wrong_type_is_refused_in_gos_words(chart_yaml: bytes, problem: str) -> None:
    expected = f"cannot load Chart.yaml: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {problem}"
    assert complaint(chart_yaml) == expected


def test_numbers_that_json_cannot_hold_are_refused_where_they_are_kept() -> None:
    message = complaint(GOOD + b"dependencies: [{name: d, import-values: [.inf]}]")
    assert message == "cannot load Chart.yaml: error converting YAML to JSON: json: unsupported value: +Inf"


@pytest.mark.parametrize("version", ["1", "1.0", "v1.0.0", "01.0.0", "1.2.3-rc.1+b.2", "1.2.3+b"])
def test_lenient_versions_are_accepted_as_they_stand(version: str) -> None:
    assert read_metadata(f"name: x\nversion: '{version}'".encode()).version == version


def test_an_unquoted_version_loses_its_zero_as_in_go() -> None:
    assert read_metadata(b"name: x\nversion: 1.10").version == "1.1"


@pytest.mark.parametrize(
    "chart_yaml", [GOOD, GOOD + b"apiVersion:\n", b"\xef\xbb\xbf" + GOOD, b"---\n" + GOOD + b"---\n["]
)
def test_a_chart_without_api_version_is_of_v1(chart_yaml: bytes) -> None:
    assert read_metadata(chart_yaml).api_version == "v1"


@pytest.mark.parametrize("name", ["UPPER", "with space", "a..b", "é", "-x"])
def test_odd_names_are_accepted(name: str) -> None:
    assert read_metadata(f"name: '{name}'\nversion: 1.0.0".encode()).name == name


def test_field_names_match_without_regard_to_case_and_the_last_in_order_wins() -> None:
    assert read_metadata(b"NAME: a\nName: b\nVERSION: 1.0.0\nappversion: 2").name == "b"
    assert read_metadata(b"name: c\nName: b\nVersion: 1.0.0").name == "c"


def test_requirements_fill_the_dependencies_of_a_v1_chart() -> None:
    read = read_metadata(GOOD, b"dependencies:\n- name: d\n  version: 1.0\n  repository: https://r\n")
    assert read.dependencies == (Dependency("d", "1", "https://r"),)


def test_requirements_are_read_over_what_chart_yaml_says() -> None:
    chart_yaml = GOOD + b"dependencies: [{name: a, version: 1.0.0}, {name: b}]"
    assert read_metadata(chart_yaml, b"dependencies: [{name: c}]").dependencies == (Dependency("c", "1.0.0"),)
    assert read_metadata(chart_yaml, b"dependencies: []").dependencies == ()
    assert read_metadata(chart_yaml, b"").dependencies == (Dependency("a", "1.0.0"), Dependency("b"))


def test_bad_requirements_are_named() -> None:
    assert complaint(GOOD, b"dependencies: [").startswith(
        "cannot load requirements.yaml: error converting YAML to JSON: yaml: "
    )


def test_texts_are_cleaned_of_what_cannot_be_printed() -> None:
    read = read_metadata(
        b'name: "a\\u200bb"\nversion: 1.0.0\ndescription: "x\\ty\\nz\\u00a0\\u2028\\x07\\x1c\\U0001F600 \\U0001FAE8"'
    )
    assert read.name == "ab"
    assert read.description == "x y z  \U0001f600 \U0001fae8"


def test_annotations_and_the_version_are_not_cleaned() -> None:
    assert read_metadata(GOOD + b'annotations: {a: "x\\ny"}').annotations == {"a": "x\ny"}


def test_the_config_of_helms_own_test_chart_has_the_digest_that_helm_expects() -> None:
    # Helm: pkg/registry/utils_test.go pushes signtest-0.1.0.tgz and expects this digest.
    config = read_metadata(
        b"description: A Helm chart for Kubernetes\nname: signtest\nversion: 0.1.0\n"
    ).render_config()
    assert hashlib.sha256(config).hexdigest() == "8d17cb6bf6ccd8c29aace9a658495cbd5e2e87fc267876e86117c7db681c9580"


def test_the_config_is_what_go_writes() -> None:
    read = read_metadata(b"""
type: application
dependencies:
- {alias: x, import-values: [1.0, 1e21, 1e-7, {z: 1, a: ~}], enabled: true, tags: [t], condition: c, version: 1,
  name: d}
- {}
kubeVersion: '>=1.20'
annotations: {z: <b>, a: '&'}
deprecated: true
appVersion: 7e10
maintainers: [{url: u, email: e, name: who}, {}]
keywords: [k]
description: 'A <b>Helm</b> & "chart"'
version: 1.0.0
sources: [s]
name: mychart
home: h
""")
    assert read.render_config() == (
        rb'{"name":"mychart","home":"h","sources":["s"],"version":"1.0.0",'
        rb'"description":"A \u003cb\u003eHelm\u003c/b\u003e \u0026 \"chart\"","keywords":["k"],'
        rb'"maintainers":[{"name":"who","email":"e","url":"u"},{}],"apiVersion":"v1","appVersion":"7e+10",'
        rb'"deprecated":true,"annotations":{"a":"\u0026","z":"\u003cb\u003e"},"kubeVersion":"\u003e=1.20",'
        rb'"dependencies":[{"name":"d","version":"1","repository":"","condition":"c","tags":["t"],"enabled":true,'
        rb'"import-values":[1,1e+21,1e-7,{"a":null,"z":1}],"alias":"x"},{"name":"","repository":""}],'
        rb'"type":"application"}'
    )


@pytest.mark.parametrize(
    "lock",
    [
        b"",
        b"generated: ~",
        b"generated: 2020-01-01T00:00:00.123456789-07:00\ndigest: sha256:x\ndependencies: [{name: a}]",
    ],
)
def test_a_good_lock_passes(lock: bytes) -> None:
    check_lock(lock, "Chart.lock")


@pytest.mark.parametrize(
    ("lock", "problem"),
    [
        (b"generated: 1", "Time.UnmarshalJSON: input is not a JSON string"),
        (b"generated: 2020-01-01", 'parsing time "2020-01-01" as "2006-01-02T15:04:05Z07:00"'),
        (b"generated: 2020-01-01T00:00:00", 'parsing time "2020-01-01T00:00:00" as "2006-01-02T15:04:05Z07:00"'),
        (b"digest: [1]", "json: cannot unmarshal array into Go struct field Lock.digest of type string"),
        (b"[1]", "json: cannot unmarshal array into Go value of type chart.Lock"),
    ],
)
def test_a_bad_lock_is_refused(lock: bytes, problem: str) -> None:
    with pytest.raises(AppError) as caught:
        check_lock(lock, "Chart.lock")
    assert caught.value.message == f"cannot load Chart.lock: error unmarshaling JSON: while decoding JSON: {problem}"


# JSON leaves these as they are, and YAML wants them escaped.
RAW = "\x7f\ufffe\uffff" + "".join(map(chr, range(0x80, 0xA0)))
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters=RAW), max_size=20)


@given(
    st.fixed_dictionaries(
        {"name": st.just("mychart"), "version": st.just("0.1.0")},
        optional={
            "description": TEXTS,
            "keywords": st.lists(TEXTS, max_size=3),
            "annotations": st.dictionaries(TEXTS, TEXTS, max_size=3),
            "maintainers": st.lists(st.fixed_dictionaries({}, optional={"name": TEXTS, "email": TEXTS}), max_size=2),
            "deprecated": st.booleans(),
        },
    )
)
def test_a_written_config_reads_back_as_the_same_metadata(fields: dict[str, object]) -> None:
    read = read_metadata(json.dumps(fields, ensure_ascii=False).encode())
    assert read_metadata(read.render_config()) == read
