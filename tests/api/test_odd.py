"""Charts full of odd characters: they are served, and spoil nothing."""

from __future__ import annotations

import json

import httpx
import pytest
import yaml

from tests.api.wire import push
from tests.charts import make_chart

ODD = {
    "next line": "a\u0085b", "delete": "a\u007fb", "not a character": "a\ufffeb", "the other": "a\uffffb",
    "emoji": "a\U0001f600b", "NUL": "a\x00b", "line separator": "a\u2028\u2029b", "byte order mark": "\ufeffab",
    "controls": "a\x01\x1b\x1fb", "line breaks": "a\r\nb\n", "quotes": "\"'\\", "html": "<b>&amp;", "colon": "a: b # c",
    "percent": "%TAG", "last plane": "\U0010ffff", "bidi": "\u202eabc", "empty": "", "space": "  ",
}  # fmt: skip


@pytest.mark.parametrize("path", ["/index.yaml", "/index.yaml?format=yaml", "/~latest-1/index.yaml"])
async def test_charts_full_of_odd_characters_do_not_spoil_the_index(client: httpx.AsyncClient, path: str) -> None:
    for number, text in enumerate(ODD.values()):
        # YAML has an escape for every character; Helm cleans descriptions and leaves annotations as they are.
        odd = '"' + "".join(f"\\U{ord(character):08x}" for character in text) + '"'
        fields = f"apiVersion: v2\nname: odd{number:02}\nversion: 0.1.0\ndescription: {odd}\nkeywords: [{odd}]\n"
        chart_yaml = f"{fields}annotations:\n  {odd}: {odd}\n  k: {odd}\n"
        await push(client, make_chart(files={"Chart.yaml": chart_yaml}))
    body = (await client.get(path)).content
    loaded = yaml.load(body, yaml.CSafeLoader)
    assert yaml.load(body, yaml.SafeLoader) == loaded
    if "yaml?" not in path:
        assert json.loads(body) == loaded
    annotations = [entries[0]["annotations"] for entries in loaded["entries"].values()]
    assert annotations == [{text: text, "k": text} for text in ODD.values()]


async def test_odd_characters_in_names_of_charts_are_served_and_found(client: httpx.AsyncClient) -> None:
    for name in ("ünï", "a b", "100%", "q?#x", "emoji\U0001f600", "it's", 'quo"te', "y", "null", "1e5"):
        chart_yaml = f"apiVersion: v2\nname: {json.dumps(name, ensure_ascii=False)}\nversion: 0.1.0\n"
        archive = make_chart("top", files={"Chart.yaml": chart_yaml})
        await push(client, archive)
        body = (await client.get("/index.yaml")).content
        loaded = yaml.load(body, yaml.CSafeLoader)
        [entry] = loaded["entries"][name]
        assert entry["name"] == name
        assert (await client.get(f"/{entry['urls'][0]}")).content == archive
