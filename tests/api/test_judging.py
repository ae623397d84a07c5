"""Archives that are refused in the words of Helm's loader, and those that are taken all the same."""

from __future__ import annotations

import gzip
import tarfile

import httpx
import pytest

from tests import charts
from tests.api.wire import push
from tests.charts import make_chart, pack

VALID = "name: c\nversion: 1.0.0\n"
BAD = [
    (b"", "EOF"),
    (b"plain text, ten bytes", "gzip: invalid header"),
    (b"short", "unexpected EOF"),
    (make_chart()[:100], "unexpected EOF"),
    (gzip.compress(b"tiny"), "unexpected EOF"),
    (gzip.compress(b"n" * 2000), "archive/tar: invalid tar header"),
    (pack(), "no files in chart archive"),
    (pack(("c/values.yaml", "a: 1")), "Chart.yaml file is missing"),
    (pack(("flat", "x")), 'chart illegally contains content outside the base directory: "flat"'),
    (pack(("c/../../x", "x")), "chart illegally references parent directory"),
    (pack(("c//abs", "x")), "chart illegally contains absolute paths"),
    (pack(("c/C:/x", "x")), "chart contains illegally named files"),
    (
        pack(("c/big", bytes(5 * 1024 * 1024 + 1))),
        'decompressed chart file "c/big" is larger than the maximum file size 5242880',
    ),
    (
        charts.make_bomb(
            charts.make_tar(("c/Chart.yaml", VALID))[:1024], charts.make_tar(("c/x", bytes(5_000_000)))[:5_000_704], 25
        ),
        "decompressed chart is larger than the maximum file size 104857600",
    ),
    *(
        (pack(("c/Chart.yaml", text)), message)
        for text, message in (
            ("version: 1.0.0\n", "validation: chart.metadata.name is required"),
            ("name: c\n", "validation: chart.metadata.version is required"),
            ("name: c\nversion: abc\n", 'validation: chart.metadata.version "abc" is invalid'),
            ("name: c\nversion: 1.2.3.4\n", 'validation: chart.metadata.version "1.2.3.4" is invalid'),
            ("name: c\nversion: 1.0.0-01\n", 'validation: chart.metadata.version "1.0.0-01" is invalid'),
            ("name: ../x\nversion: 1.0.0\n", 'validation: chart.metadata.name "../x" is invalid'),
            ("name: ..\nversion: 1.0.0\n", 'validation: chart.metadata.name ".." is not allowed'),
            (f"{VALID}type: other\n", "validation: chart.metadata.type must be application or library"),
            (
                f"{VALID}dependencies: [{{name: d}}, {{name: d}}]\n",
                'validation: more than one dependency with name or alias "d"',
            ),
            (
                f"{VALID}dependencies: [{{name: d, alias: a/b}}]\n",
                'validation: dependency "d" has disallowed characters in the alias',
            ),
            (f"{VALID}maintainers: [~]\n", "validation: maintainers must not contain empty or null nodes"),
        )
    ),
    (
        make_chart("c", files={"charts/s-1.tgz": make_chart("s")[:60]}),
        "error unpacking subchart s-1.tgz in c: unexpected EOF",
    ),
]  # fmt: skip


async def test_a_bad_archive_gets_the_words_of_helms_loader_both_ways(client: httpx.AsyncClient) -> None:
    """One house for all rows: nothing is stored, so that nothing carries over."""
    for content, message in BAD:
        raw = await client.post("/api/charts", content=content)
        assert (raw.status_code, raw.json()) == (400, {"error": message})
        formed = await client.post("/api/charts", files={"chart": ("x", content)})
        assert (formed.status_code, formed.json()) == (400, {"error": message})
    assert (await client.get("/api/charts")).text == "{}"


@pytest.mark.parametrize(
    ("files", "begins"),
    [
        ({"Chart.yaml": "a: b: c"}, "cannot load Chart.yaml: error converting YAML to JSON: yaml: "),
        ({"values.yaml": "a: [1"}, "cannot load values.yaml: "),
        ({"values.yaml": "- a list"}, "cannot load values.yaml: "),
        ({"Chart.yaml": 'name: c\nversion: 1.0.0\ndeprecated: "true"\n'}, "cannot load Chart.yaml: "),
        ({"Chart.yaml": "a: &a [x,x]\nb: &b [*a,*a]\n" + "".join(
            f"{chr(99 + n)}: &{chr(99 + n)} [{','.join(['*' + chr(98 + n)] * 9)}]\n" for n in range(12)
        )}, "cannot load Chart.yaml: "),
    ],
)  # fmt: skip
async def test_yaml_that_cannot_be_loaded_is_named(client: httpx.AsyncClient, files: charts.Files, begins: str) -> None:
    response = await client.post("/api/charts", content=make_chart("c", files=files))
    assert response.status_code == 400
    assert response.json()["error"].startswith(begins)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
async def test_links_and_devices_are_refused(client: httpx.AsyncClient, kind: bytes) -> None:
    archive = make_chart("c", extra=[charts.make_link("c/templates/link", kind)])
    response = await client.post("/api/charts", content=archive)
    assert response.status_code == 400
    assert response.json()["error"].startswith("chart archive holds a ")


async def test_what_helm_takes_is_taken(client: httpx.AsyncClient) -> None:
    good = [
        make_chart("no-api", files={"Chart.yaml": "name: no-api\nversion: 1.0.0\n"}),
        *(make_chart("lenient", version) for version in ("1", "1.0", "v1.0.0", "01.0.0")),
        make_chart("bom", files={"Chart.yaml": b"\xef\xbb\xbfname: bom\nversion: 1.0.0\n"}),
        make_chart("trailing") + bytes(100),
        pack((r"w\Chart.yaml", "name: windows\nversion: 1.0.0\n")),
        make_chart("other-top", top="x"),
        make_chart("UPPER"),
    ]
    await push(client, *good)
    listed = (await client.get("/api/charts")).json()
    assert sorted(listed) == ["UPPER", "bom", "lenient", "no-api", "other-top", "trailing", "windows"]
    assert listed["no-api"][0]["apiVersion"] == "v1"
    assert len(listed["lenient"]) == 4
