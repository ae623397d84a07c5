"""The page in a real browser: it looks right in both schemes and on a phone, and works by keyboard without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.charts import make_chart
from tests.live import serve
from tests.needs import find_program

LONG = "A description that goes on and on about what this chart deploys, how it does so, and why anybody would want it."


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a server with some charts and answer its address."""
    with serve(tmp_path_factory.mktemp("page") / "data") as server:
        for archive, tenant in (
            (
                make_chart("redis", "17.0.1", description="An in-memory store", appVersion="7.2.4", keywords=["cache"]),
                "",
            ),
            (make_chart("mysql", description=LONG, deprecated=True, appVersion="8"), ""),
            (make_chart("a-chart-with-a-name-that-is-far-too-long-for-any-phone-in-the-world", "1.0.0-rc.1+b"), ""),
            (make_chart("web", "2.0.0", description="<script>document.title = 'broken'</script>"), "/platform/team"),
        ):
            assert httpx.post(f"{server.url}/api{tenant}/charts", content=archive).status_code == 201
        yield server.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Run Chromium."""
    program = find_program("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_fits_and_says_nothing_to_the_console(
    browser: Any, address: str, tmp_path: Path, scheme: str, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.screenshot(path=tmp_path / f"page-{scheme}-{width}.png", full_page=True)
    assert page.title() == "Chartroom"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("li").count() == 4
    assert page.locator("h3").all_inner_texts()[0].startswith("a-chart")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 29)")
    assert said == []
    assert [url for url in asked if not url.startswith(address)] == []
    page.close()


def test_one_searches_by_keyboard_and_without_scripts(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    page.get_by_role("searchbox", name="Search charts").press_sequentially("cache")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.get_by_role("status").inner_text() == "1 chart for “cache”"
    assert page.get_by_role("heading", level=3).all_inner_texts() == ["redis"]
    with page.expect_navigation():
        page.get_by_role("link", name="Chartroom").click()
    assert page.get_by_role("status").inner_text() == "4 charts"
    context.close()


def test_text_has_enough_contrast_and_landmarks_have_names(browser: Any, address: str) -> None:
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(address)
        for selector in ("body", ".soft", ".badge", "code", "button", "input"):
            assert page.evaluate(CONTRAST, selector) >= 4.5, (scheme, selector)
        for role in ("main", "banner", "search"):
            assert page.get_by_role(role).count() == 1
        assert page.locator("html").get_attribute("lang") == "en"
        page.close()


CONTRAST = """selector => {
  const light = color => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(Number).slice(0, 3)
      .map(value => value / 255).map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const element = document.querySelector(selector);
  let behind = element;
  while (getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
  const pair = [light(getComputedStyle(element).color), light(getComputedStyle(behind).backgroundColor)].sort();
  const [dark, bright] = pair[0] < pair[1] ? pair : pair.reverse();
  return (bright + 0.05) / (dark + 0.05);
}"""
