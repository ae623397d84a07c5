"""What a chart archive may be. The texts of Helm's loader were taken from it, ours stand apart."""

from __future__ import annotations

import tarfile

import pytest

from app.domain.archive import read_chart, read_files, read_templates, read_values
from app.domain.gojson import render_json
from app.domain.values import parse_values
from app.errors import AppError, Kind
from tests.charts import compress, make_chart, make_link, make_tar, pack

MEBIBYTE = 1024 * 1024
CHART_YAML = b"name: c\nversion: 1.0.0\n"
CHART = ("c/Chart.yaml", CHART_YAML)


def complaint(content: bytes) -> str:
    with pytest.raises(AppError) as caught:
        read_chart(content)
    assert caught.value.kind is Kind.INVALID
    return caught.value.message


def test_a_chart_is_read() -> None:
    chart = read_chart(make_chart("mychart", "1.2.3+b1", description="x"))
    assert (chart.metadata.name, chart.metadata.version, chart.metadata.description) == ("mychart", "1.2.3+b1", "x")
    assert chart.modified == 1_600_000_000


GOOD = make_chart()
NO_TAR = b"x" * 2000

BROKEN = [
    ("nothing", b"", "EOF"),
    ("text", b"this is no chart", "gzip: invalid header"),
    ("a short text", b"no chart", "unexpected EOF"),
    ("half of an archive", GOOD[: len(GOOD) // 2], "unexpected EOF"),
    ("a header cut off", GOOD[:10], "unexpected EOF"),
    ("little that is no tar", compress(b"x" * 500), "unexpected EOF"),
    ("much that is no tar", compress(NO_TAR), "archive/tar: invalid tar header"),
    ("an empty gzip", compress(b""), "no files in chart archive"),
    ("an empty tar", pack(), "no files in chart archive"),
    ("only directories", pack(make_link("c/", tarfile.DIRTYPE)), "no files in chart archive"),
    ("a tar cut off in a file", compress(make_tar(CHART)[:520]), "unexpected EOF"),
    ("a tar cut off in a header", compress(make_tar(CHART, CHART)[:1100]), "unexpected EOF"),
    ("rubbish behind one block of zeros", compress(bytes(512) + b"x" * 512), "archive/tar: invalid tar header"),
    ("a bad checksum of gzip", compress(make_tar(CHART)[:1024])[:-8] + b"12345678", "gzip: invalid checksum"),
    ("rubbish where more is needed", compress(make_tar(CHART)[:1024]) + b"rubbish...", "gzip: invalid header"),
]

PLACES = [
    ("no Chart.yaml", pack(("c/values.yaml", b"")), "Chart.yaml file is missing"),
    ("a Chart.yaml too deep", pack(("./c/Chart.yaml", CHART_YAML)), "Chart.yaml file is missing"),
    (
        "a file without a directory",
        pack(("flat", b"")),
        'chart illegally contains content outside the base directory: "flat"',
    ),
    (
        "a Chart.yaml at the root",
        pack(("Chart.yaml", CHART_YAML)),
        'chart illegally contains content outside the base directory: "Chart.yaml"',
    ),
    ("a file below Chart.yaml", pack(("Chart.yaml/x", b"")), "chart yaml not in base directory"),
    ("a way out", pack(CHART, ("c/../../x", b"")), "chart illegally references parent directory"),
    ("a way out on Windows", pack(("c\\..\\..\\x", b"")), "chart illegally references parent directory"),
    ("two slashes", pack(CHART, ("c//abs", b"")), "chart illegally contains absolute paths"),
    ("a drive", pack(CHART, ("c/C:/x", b"")), "chart contains illegally named files"),
]

CONTENTS = [
    (
        "bad Chart.yaml",
        pack(("c/Chart.yaml", b"a: [")),
        "cannot load Chart.yaml: error converting YAML to JSON: yaml: line 1: did not find expected node content",
    ),
    (
        "bad values.yaml",
        make_chart(files={"values.yaml": "a:\n  - b\n c: d\n"}),
        "cannot load values.yaml: error converting YAML to JSON: yaml: line 2: did not find expected key",
    ),
    (
        "a list of values",
        make_chart(files={"values.yaml": "[1]"}),
        "cannot load values.yaml: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into Go "
        "value of type map[string]interface {}",
    ),
    (
        "an infinite value",
        make_chart(files={"values.yaml": "a: [.inf]"}),
        "cannot load values.yaml: error converting YAML to JSON: json: unsupported value: +Inf",
    ),
    (
        "bad requirements.yaml",
        make_chart(files={"requirements.yaml": "dependencies: 1"}),
        "cannot load requirements.yaml: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal number "
        "into Go struct field Metadata.dependencies of type []*chart.Dependency",
    ),
    (
        "bad Chart.lock",
        make_chart(files={"Chart.lock": "generated: 1"}),
        "cannot load Chart.lock: error unmarshaling JSON: while decoding JSON: Time.UnmarshalJSON: input is not a "
        "JSON string",
    ),
    ("no version", pack(("c/Chart.yaml", b"name: c")), "validation: chart.metadata.version is required"),
    ("an outgoing name", make_chart("../x", top="x"), 'validation: chart.metadata.name "../x" is invalid'),
    ("a bad version", make_chart(version="abc"), 'validation: chart.metadata.version "abc" is invalid'),
]


SUBCHARTS = [
    (
        "a broken archive",
        make_chart("c", files={"charts/s-1.tgz": b"xx"}),
        "error unpacking subchart s-1.tgz in c: unexpected EOF",
    ),
    (
        "an invalid archive",
        make_chart("c", files={"charts/s-1.tgz": make_chart("s", "x")}),
        'error unpacking subchart s-1.tgz in c: validation: chart.metadata.version "x" is invalid',
    ),
    (
        "an invalid directory",
        make_chart("c", files={"charts/s/Chart.yaml": "name: s"}),
        "error unpacking subchart s in c: validation: chart.metadata.version is required",
    ),
    (
        "a directory without Chart.yaml",
        make_chart("c", files={"charts/s/values.yaml": ""}),
        "error unpacking subchart s in c: Chart.yaml file is missing",
    ),
    (
        "a stray file",
        make_chart("c", files={"charts/README.md": "read me"}),
        "error unpacking subchart README.md in c: Chart.yaml file is missing",
    ),
    (
        "a directory named like an archive",
        make_chart("c", files={"charts/s.tgz/Chart.yaml": CHART_YAML}),
        "error unpacking subchart tar in c: expected s.tgz, got s.tgz/Chart.yaml",
    ),
    (
        "bad values two levels down",
        make_chart("c", files={"charts/s-1.tgz": make_chart("s", files={
            "charts/t/Chart.yaml": "name: t\nversion: 1.0.0", "charts/t/values.yaml": "1"})}),
        "error unpacking subchart s-1.tgz in c: error unpacking subchart t in s: cannot load values.yaml: error "
        "unmarshaling JSON: while decoding JSON: json: cannot unmarshal number into Go value of type "
        "map[string]interface {}",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [pytest.param(content, message, id=title) for title, content, message in BROKEN + PLACES + CONTENTS + SUBCHARTS],
)
def test_what_helm_refuses_is_refused_in_helms_words(content: bytes, message: str) -> None:
    assert complaint(content) == message


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "character device"),
        (tarfile.BLKTYPE, "block device"),
        (tarfile.FIFOTYPE, "named pipe"),
        (tarfile.GNUTYPE_SPARSE, "sparse file"),
    ],
)
def test_links_and_devices_are_refused(kind: bytes, word: str) -> None:
    message = complaint(make_chart("c", extra=[make_link("c/x", kind)]))
    assert message.startswith(f'chart archive holds a {word}, "c/x": charts hold only files and directories')


@pytest.mark.parametrize("name", ["/etc/passwd", "/c/Chart.yaml", "\\c\\x", "C:\\c\\x", "C:/c/x"])
def test_absolute_paths_are_refused(name: str) -> None:
    assert complaint(make_chart("c", extra=[(name, b"")])).startswith("chart archive holds an absolute path, ")


def test_a_top_directory_that_leads_out_is_refused() -> None:
    assert complaint(pack(("../Chart.yaml", CHART_YAML))) == "chart illegally references parent directory"


def test_two_roots_are_refused() -> None:
    message = complaint(make_chart("c", extra=[("d/x", b"")]))
    assert message.startswith('chart archive has two roots, "c" and "d": one archive holds one chart')


WINDOWS = [("c\\Chart.yaml", CHART_YAML), ("c\\templates\\a.yaml", b"x")]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(pack(("c/Chart.yaml", b"\xef\xbb\xbf" + CHART_YAML)), id="a byte order mark"),
        pytest.param(pack(CHART) + b"rubbish", id="rubbish behind the end"),
        pytest.param(compress(make_tar(CHART) + b"rubbish"), id="rubbish behind the tar"),
        pytest.param(compress(make_tar(CHART)[:1024]), id="a tar without an end"),
        pytest.param(compress(make_tar(CHART)[: 512 + 30]), id="a tar without its last padding"),
        pytest.param(pack(CHART)[:-8] + b"12345678", id="a wrong checksum of gzip that nobody reaches"),
        pytest.param(compress(make_tar(CHART)[:700]) + compress(make_tar(CHART)[700:]), id="two gzip members"),
        pytest.param(pack(*WINDOWS), id="backslashes"),
        pytest.param(make_chart("c", top="other"), id="a directory of another name"),
        pytest.param(pack(("./Chart.yaml", CHART_YAML)), id="a dot as directory"),
        pytest.param(pack(make_link("elsewhere", tarfile.DIRTYPE), CHART), id="a second directory without files"),
        pytest.param(pack(("c/./x/../Chart.yaml", CHART_YAML)), id="detours"),
        pytest.param(pack(CHART, ("c/values.yaml", b"")), id="empty values"),
        pytest.param(pack(CHART, ("c/charts/_x/a", b""), ("c/charts/.x", b"")), id="hidden subcharts"),
        pytest.param(pack(CHART, ("c/charts/s-1.tgz.prov", b"")), id="provenance of a subchart"),
        pytest.param(pack(CHART, ("c/requirements.lock", b"generated: ~")), id="a lock"),
        pytest.param(pack(CHART, ("c/" + "d" * 90 + "/" + "f" * 60, b"x")), id="a ustar prefix"),
        pytest.param(
            pack(CHART, ("c/" + "d" * 200, b"x"), tar_format=tarfile.GNU_FORMAT), id="a long name as GNU writes it"
        ),
        pytest.param(
            pack(CHART, ("c/" + "d" * 200, b"x"), tar_format=tarfile.PAX_FORMAT), id="a long name in a pax record"
        ),
    ],
)
def test_odd_archives_that_helm_loads_are_accepted(content: bytes) -> None:
    assert read_chart(content).metadata.name == "c"


def test_subcharts_are_loaded_from_directories_and_archives() -> None:
    inner = make_chart("s", files={"charts/t/Chart.yaml": "name: t\nversion: 1.0.0"})
    files: dict[str, bytes | str | None] = {
        "charts/s-0.1.0.tgz": inner,
        "charts/u/Chart.yaml": "name: u\nversion: 1.0.0",
        "charts/u/charts/s.tgz": inner,
    }
    assert read_chart(make_chart("c", files=files)).metadata.name == "c"


def test_files_are_answered_by_their_path_below_the_top_directory() -> None:
    content = make_chart(
        "c", files={"Chart.yaml": CHART_YAML, "values.yaml": b"\xef\xbb\xbfa: 1", "a/b.txt": b"\x00\xff"}
    )
    assert read_files(content) == {
        "Chart.yaml": CHART_YAML,
        "values.yaml": b"a: 1",
        "templates/pod.yaml": b"kind: Pod\n",
        "a/b.txt": b"\x00\xff",
    }


def test_templates_are_answered_in_the_order_of_the_archive() -> None:
    files = {"templates/z.yaml": "z", "templates/a.yaml": "a", "charts/s/templates/x.yaml": "x"}
    names = [("templates/pod.yaml", b"kind: Pod\n"), ("templates/z.yaml", b"z"), ("templates/a.yaml", b"a")]
    assert read_templates(make_chart("c", files=files)) == names
    assert read_templates(make_chart("c", files={"templates/pod.yaml": None})) == []


def test_values_are_answered_without_their_byte_order_mark() -> None:
    assert read_values(make_chart(files={"values.yaml": b"\xef\xbb\xbfa: 1\n"})) == b"a: 1\n"
    assert read_values(make_chart(files={"values.yaml": None})) is None


@pytest.mark.parametrize(
    ("values", "written"),
    [
        (b"", b"null"),
        (b"b: 1.0\na: {d: 1e21, c: [yes, ~, 010]}", b'{"a":{"c":[true,null,8],"d":1e+21},"b":1}'),
        (b"12345678901234567890.0: <x>", b'{"1.2345679e+19":"\\u003cx\\u003e"}'),
        (b"a: &a [1]\nb: *a", b'{"a":[1],"b":[1]}'),
    ],
)
def test_values_are_parsed_into_what_go_writes_as_json(values: bytes, written: bytes) -> None:
    assert render_json(parse_values(values)) == written
