"""The book as a reader sees it: every page in a real browser, without a network, in the light and in the dark.

It looks at the site that ``script/docs build`` made, and skips with the reason where there is none, or no browser.
"""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest

SITE = Path(os.environ.get("MINI_DOCKER_SITE", Path(__file__).resolve().parents[2] / "site"))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = [pytest.mark.skipif(not (SITE / "index.html").exists(), reason="the book is not built: script/docs build")]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the browser's own words are what is looked at."""


class _References(HTMLParser):
    """A page's links, and what it loads; and its anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := found.get(name))}
        if tag == "a" and (href := found.get("href")):
            self.links.append(href)
        if tag in ("script", "img", "iframe", "source") and (source := found.get("src")):
            self.loads.append(source)
        if tag == "link" and found.get("rel") in ("stylesheet", "icon", "preload", "modulepreload"):
            self.loads.append(found.get("href") or "")


@functools.cache
def references(page: Path) -> _References:
    """What a page refers to."""
    parser = _References()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser


def pages() -> list[Path]:
    """Every page of the site."""
    return sorted(SITE.rglob("*.html")) if SITE.is_dir() else []


def test_nothing_is_loaded_from_elsewhere() -> None:
    """No fonts, scripts or images of others: the book works on a train."""
    elsewhere = [(page.name, load) for page in pages() for load in references(page).loads if urlsplit(load).netloc]
    assert elsewhere == []


def test_every_link_leads_somewhere() -> None:
    """Pages, files and the places in them; links to the outside are only counted as such."""
    broken = []
    for page in pages():
        if page.name == "404.html":
            continue  # it is served for any path, so that its links are absolute
        for link in references(page).links:
            target, anchor = urldefrag(link)
            if urlsplit(link).scheme:
                continue
            path = (page.parent / unquote(target)).resolve() if target else page
            if path.is_dir():
                path = path / "index.html"
            if not path.exists():
                broken.append(f"{page.relative_to(SITE)} → {link}")
            elif anchor and path.suffix == ".html" and unquote(anchor) not in references(path).anchors:
                broken.append(f"{page.relative_to(SITE)} → {link}: no such place")
    assert broken == []


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The site, served on loopback."""
    handler = functools.partial(_Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Debian's Chromium, with a profile of its own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: script/docs test")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: apt install chromium")
    with playwright.sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=CHROMIUM, args=FLAGS, headless=True,
            viewport={"width": 1280, "height": 900},
        )  # fmt: skip
        yield context
        context.close()


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Any]:
    """A tab that takes down what goes wrong, and lets nothing leave this machine."""
    tab = browser.new_page()
    tab.add_init_script("localStorage.clear()")  # a reader's choice of colours would outlive the test
    tab.wrong = []
    tab.on("console", lambda message: tab.wrong.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: tab.wrong.append(str(error)))
    tab.on("requestfailed", lambda request: _failed(request) and tab.wrong.append(f"failed: {request.url}"))
    tab.on(
        "request",
        lambda request: None if request.url.startswith((address, "data:", "blob:")) else tab.wrong.append(request.url),
    )
    yield tab
    tab.close()


def _failed(request: Any) -> bool:
    """Whether a request was not answered; one that the next page's opening cut off was not waited for."""
    return "ERR_ABORTED" not in (request.failure or "")


def _leaves(url: str, address: str) -> bool:
    """Whether a request goes to another machine."""
    return not url.startswith((address, "data:", "blob:"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_opens_without_a_word_of_complaint(tab: Any, address: str, scheme: str) -> None:
    """No console errors, no failed requests, no broken images, and the colours that were asked for."""
    tab.emulate_media(color_scheme=scheme)
    wrong = []
    for page in pages():
        name = str(page.relative_to(SITE))
        tab.wrong.clear()
        tab.goto(urljoin(address, name), wait_until="load")
        if name != "404.html":
            body = tab.locator("body").get_attribute("data-md-color-scheme")
            assert body == {"light": "default", "dark": "slate"}[scheme], name
        broken = tab.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)")
        wrong += [(name, problem) for problem in (*tab.wrong, *broken)]
    assert wrong == []


def test_search_finds_pivot_root(tab: Any, address: str) -> None:
    """A reader types a word of the kernel's and finds where it is told."""
    tab.goto(address, wait_until="load")
    tab.locator(".md-search__input").first.click()
    tab.keyboard.type("pivot_root")
    result = tab.locator(".md-search-result__link").first
    result.wait_for(timeout=20_000)
    assert "pivot_root" in tab.locator(".md-search-result").first.inner_text()
    assert tab.wrong == []


def test_every_box_of_the_picture_can_be_clicked(tab: Any, address: str) -> None:
    """Each box leads to its page, from the picture's own page and from the first."""
    for start in ("picture.html", "index.html"):
        tab.goto(urljoin(address, start), wait_until="load")
        count = tab.locator("figure.architecture a").count()
        assert count >= 16
        for number in range(count):
            tab.goto(urljoin(address, start), wait_until="load")
            box = tab.locator("figure.architecture a").nth(number)
            wanted = urljoin(tab.url, box.get_attribute("href"))
            # A frame is covered by the boxes in it: its title is what is clicked.
            box.locator("text.title, tspan.title").first.click()
            tab.wait_for_url(wanted, timeout=10_000)
            assert tab.locator("h1").first.is_visible()
    assert tab.wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_picture_can_be_read(tab: Any, address: str, scheme: str) -> None:
    """Words and ground differ enough in both schemes (WCAG's contrast for text, 4.5)."""
    tab.emulate_media(color_scheme=scheme)
    tab.goto(urljoin(address, "picture.html"), wait_until="load")
    colours = tab.evaluate(
        """() => {
          const context = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d');
          const over = (ground, colour) => {
            context.fillStyle = ground; context.fillRect(0, 0, 1, 1);
            context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
            return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
          };
          const ground = getComputedStyle(document.body).backgroundColor;
          const box = document.querySelector('figure.architecture a.box');
          const fill = getComputedStyle(box.querySelector('rect')).fill;
          const word = getComputedStyle(box.querySelector('text')).fill;
          const boxed = over(ground, fill);
          return [boxed, over(`rgb(${boxed})`, word)];
        }"""
    )
    ground, word = (_luminance(colour) for colour in colours)
    brighter, darker = max(ground, word), min(ground, word)
    assert (brighter + 0.05) / (darker + 0.05) >= 4.5


def _luminance(colour: list[int]) -> float:
    parts = [value / 255 for value in colour]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
