"""The HTML report in a real Chromium: how it looks, and what it does not do.

Screenshots are left in ``build/screenshots``, or where ``LLAMAKEY_SCREENSHOTS`` says.
"""

from __future__ import annotations

import base64
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import html_pages
import pytest
from axe_core_python.selenium import Axe
from selenium import webdriver
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from pytest_llamakey.report.html.page import write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llamakey.report.model import Report

pytestmark = pytest.mark.browser
SHOTS = Path(os.environ.get("LLAMAKEY_SCREENSHOTS") or Path(__file__).parents[2] / "build" / "screenshots")
LOOKS = {"light": ("", "light", 1280), "dark": ("", "dark", 1280), "narrow": ("", "light", 390)}
LOOKS["print"] = ("print", "light", 720)
"""Media, colour scheme and width in pixels."""
TALLEST = 6000


class Browser:
    """A Chromium that shows reports."""

    def __init__(self, driver: webdriver.Chrome, folder: Path) -> None:
        self.driver, self.folder = driver, folder

    def show(self, name: str, report: Report, look: str = "light") -> None:
        """Write the page, and load it."""
        path = self.folder / f"{name}.html"
        if not path.exists():
            write(report, path)
        media, scheme, width = LOOKS[look]
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
        self._size(width, 900)
        self.driver.get(path.as_uri())

    def _size(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def run(self, script: str, *arguments: Any) -> Any:
        """What ``script`` returns, run by the driver (the page's own policy does not hold for it)."""
        return self.driver.execute_script(script, *arguments)

    def shoot(self, name: str) -> Path:
        """Keep a picture of the whole page."""
        width = self.run("return document.documentElement.clientWidth")
        self._size(width, TALLEST)  # what is far from the window is not drawn
        height = min(self.run("return document.body.getBoundingClientRect().bottom"), TALLEST)
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
        SHOTS.mkdir(parents=True, exist_ok=True)
        path = SHOTS / f"{name}.png"
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def errors(self) -> list[str]:
        """What stands in the browser's console since it was last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def offences(self) -> list[str]:
        """What axe-core, at WCAG 2.1's level AA, has against the page as it stands."""
        self.run(
            "for (const each of document.querySelectorAll('.deployment, .replica'))"
            "  each.style.contentVisibility = 'visible';"
            "for (const each of document.querySelectorAll('details')) each.open = true"
        )
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
        found = Axe().run(self.driver, options={"runOnly": {"type": "tag", "values": tags}})
        return [f"{one['id']}: {node['html'][:200]}" for one in found["violations"] for node in one["nodes"]]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    # CI runs as root in a container, with a small /dev/shm.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield Browser(driver, tmp_path_factory.mktemp("pages"))
    driver.quit()


PAGES = {
    "pass": html_pages.all_pass,
    "broken": html_pages.broken,
    "thousand": html_pages.thousand_workers,
    "hostile": html_pages.hostile,
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", PAGES)
def test_it_fits_loads_nothing_and_logs_nothing(browser: Browser, name: str, look: str) -> None:
    browser.show(name, PAGES[name](), look)
    assert browser.shoot(f"{name}-{look}").stat().st_size > 10_000
    assert browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert browser.run("return performance.getEntriesByType('resource').map(each => each.name)") == []
    assert browser.run("return document.scripts.length") == 0
    assert browser.errors() == []


@pytest.mark.parametrize("look", ["light", "dark"])
def test_contrast_and_names_are_as_wcag_asks(browser: Browser, look: str) -> None:
    browser.show("few", html_pages.few(), look)
    assert browser.offences() == []


def test_axe_would_object(browser: Browser) -> None:
    browser.show("pass", html_pages.all_pass())
    browser.run("document.querySelector('.facts dt').style.color = '#bbb'")
    assert [found.partition(":")[0] for found in browser.offences()] == ["color-contrast"]


def test_the_keyboard_reaches_and_opens_everything(browser: Browser) -> None:
    browser.show("pass", html_pages.all_pass())
    wanted = browser.run(
        "window.wanted = [...document.querySelectorAll('a, summary, [tabindex=\"0\"]')]"
        ".filter(each => each.checkVisibility()); return window.wanted.length"
    )
    reached = []
    for _ in range(wanted):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(browser.run("return window.wanted.indexOf(document.activeElement)"))
    assert reached == list(range(wanted))
    summary = "document.querySelector('.replica summary')"
    browser.run(f"{summary}.focus()")
    opened = browser.run(f"return {summary}.parentElement.open")
    browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.run(f"return {summary}.parentElement.open") is not opened


def test_the_skip_link_is_first_and_shown_when_it_is_reached(browser: Browser) -> None:
    browser.show("pass", html_pages.all_pass())
    browser.driver.switch_to.active_element.send_keys(Keys.TAB)
    assert browser.run("return document.activeElement.className") == "skip"
    assert browser.run("return document.activeElement.getBoundingClientRect().left") >= 0


def test_the_picture_is_told_to_those_who_do_not_see_it(browser: Browser) -> None:
    browser.show("broken", html_pages.broken())
    node = browser.run("const tree = document.querySelector('.tree'); tree.scrollIntoView(); return tree")
    assert node.aria_role == "image"
    assert node.accessible_name == (
        "web-1: 2 of 2 workers hold the delivered key; 1 with a finding pid 1, main, the delivered key; "
        "pid 7, worker, the delivered key from environ; "
        "pid 8, worker, the delivered key from dotenv; client-before-env"
    )


def test_each_state_has_a_shape_of_its_own(browser: Browser) -> None:
    browser.show("broken", html_pages.broken())
    shapes = browser.run(
        "return [...document.querySelectorAll('symbol')].map(each => each.innerHTML.replace(/class=\"[^\"]*\"/g, ''))"
    )
    assert len(set(shapes)) == len(shapes) >= 7
    used = browser.run("return [...document.querySelectorAll('use')].map(each => each.getAttribute('href'))")
    known = set(browser.run("return [...document.querySelectorAll('symbol')].map(each => '#' + each.id)"))
    assert {"#k-match", "#k-missing", "#k-blamed"} <= set(used) <= known


def test_hostile_text_is_shown_and_does_nothing(browser: Browser) -> None:
    browser.show("hostile", html_pages.hostile())
    assert browser.run("return window.owned") is None
    assert (
        browser.run("return document.querySelectorAll('img, script, iframe, [onload], [href^=javascript]').length") == 0
    )

    def shown(_driver: object) -> str | None:  # what is laid out later than the page's first look is text later, too
        text: str = browser.run("return document.body.innerText")
        return text if text.count("<script>window.owned = 1</script>") >= 8 else None

    assert r"\x1b[2J\u202e" in WebDriverWait(browser.driver, 10).until(shown)


def test_the_policy_holds_should_markup_come_in_after_all(browser: Browser) -> None:
    browser.show("pass", html_pages.all_pass())
    # A handler that the page's own parser makes is not the driver's script: the policy holds for it.
    browser.run("document.body.insertAdjacentHTML('beforeend', \"<img src='data:,' onerror='window.owned = 1'>\")")
    told = WebDriverWait(browser.driver, 5).until(lambda _driver: browser.errors())
    assert any("Content Security Policy" in line for line in told)
    assert browser.run("return window.owned") is None


def test_of_a_thousand_workers_only_those_near_the_screen_are_laid_out(browser: Browser) -> None:
    browser.show("thousand", html_pages.thousand_workers())
    browser.run("document.querySelector('details.more').open = true; document.body.getBoundingClientRect()")
    browser.run("window.scrollTo(0, document.documentElement.scrollHeight)")
    browser.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    total, laid_out = browser.run(
        "const inside = [...document.querySelectorAll('.more .replica > *')];"
        "const laidOut = inside.filter(one => one.checkVisibility({contentVisibilityAuto: true}));"
        "return [...[inside, laidOut].map(these => new Set(these.map(one => one.parentNode)).size)]"
    )
    assert total == 119
    assert 0 < laid_out < 40


def test_it_prints_on_pages(browser: Browser) -> None:
    browser.show("thousand", html_pages.thousand_workers(), "print")
    printed = browser.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": False, "preferCSSPageSize": True})
    pdf = base64.b64decode(printed["data"])
    (SHOTS / "thousand.pdf").write_bytes(pdf)
    assert pdf.startswith(b"%PDF")
    assert 1 < pdf.count(b"/Type /Page\n") < 10
