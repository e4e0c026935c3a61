"""The page in a real browser: the system's Chromium, without a window."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.web.page_parts import LIMITS, image_bytes, new_desk

pytest.importorskip("gradio", reason="needs gradio: pip install 'ovss[web]'")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="needs playwright: pip install 'ovss[test]'"
)

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
SECONDS = 60_000  # of a wait, in milliseconds: other work may share the processor


@pytest.fixture(scope="module")
def outside():
    """Hosts that this process asks for while the page runs, other than itself."""
    hosts, watching = [], [True]

    def watch(event, arguments):
        if not watching:
            return
        if event == "socket.getaddrinfo":
            hosts.append(arguments[0])
        if event == "socket.connect" and isinstance(arguments[1], tuple):
            hosts.append(arguments[1][0])

    sys.addaudithook(watch)  # it stays, and does nothing once `watching` is empty
    yield lambda: [host for host in hosts if host not in (None, "127.0.0.1", "localhost")]
    watching.clear()


@pytest.fixture(scope="module")
def address(outside):
    from ovss.web.samples import scene_samples
    from ovss.web.server import PageServer, private_folder

    with private_folder() as folder:
        samples = scene_samples(folder / "samples", 20_240, 4, 96)
        desk = new_desk(folder)
        with PageServer(desk, samples, [], "127.0.0.1", 0).in_thread() as place:
            yield place


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as tools:
        chromium = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Visit:
    """One user with the page, whose requests and errors are recorded."""

    def __init__(self, browser, address, width=1280):
        self.context = browser.new_context(viewport={"width": width, "height": 1500})
        self.context.set_default_timeout(SECONDS)
        self.requests, self.errors, self.address = [], [], address
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("response", self._response)
        self.page.goto(address)
        self.page.wait_for_selector("#segment")
        self.page.wait_for_load_state("networkidle")

    def _response(self, response):
        # gradio forgets the progress of an upload before a fast browser asks for it
        if response.status >= 400 and "upload_progress" not in response.url:
            self.errors.append(f"{response.status} {response.url}")

    def sample(self, number):
        self.page.locator("#samples button").nth(number).click()
        self.page.wait_for_selector("#image img")
        self.page.wait_for_function("document.querySelector('#words textarea').value")

    def upload(self, name, content, kind="image/png"):
        file = {"name": name, "mimeType": kind, "buffer": content}
        self.page.locator("#image input[type=file]").set_input_files(files=[file])

    def words(self, text):
        self.page.locator("#words textarea").fill(text)

    def method(self, name):
        field = self.page.locator("#methods input")
        field.fill(name)
        field.press("Enter")
        self.page.locator("#methods .token", has_text=name).wait_for()
        field.press("Escape")

    def segment(self, results=1):
        self.page.locator("#segment").click()
        self.page.wait_for_function(
            "count => document.querySelectorAll('.ovss-view').length == count"
            " && !document.querySelector('.ovss-wait')",
            arg=results,
        )

    def expect_message(self, text):
        """Presses the button and waits for an error message with a text."""
        self.page.locator("#segment").click()
        self.page.locator(".ovss-error", has_text=text).wait_for()

    def download(self, name, number=0):
        link = self.page.locator(f".ovss-card a[data-file='{name}']").nth(number)
        with self.page.expect_download() as waiting:
            link.click()
        return waiting.value

    def screenshot(self, name):
        folder = os.environ.get("OVSS_SCREENSHOTS")
        if folder:
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.fixture
def visit(browser, address):
    visits = []

    def new(width=1280):
        visits.append(Visit(browser, address, width))
        return visits[-1]

    yield new
    for each in visits:
        each.context.close()
        assert not [url for url in each.requests if not url.startswith((address, "data:", "blob:"))]
        assert not each.errors


def labels_of(download):
    return np.asarray(Image.open(download.path())).astype(int)


def test_hover_names_the_label_of_every_pixel(visit):
    one = visit()
    one.sample(1)
    one.segment()
    labels_HW = labels_of(one.download("labels.png"))
    classes = Path(one.download("classes.txt").path()).read_text(encoding="utf-8").splitlines()
    view = one.page.locator(".ovss-view")
    box = view.bounding_box()
    height, width = labels_HW.shape
    generator = np.random.default_rng(0)
    for y, x in generator.integers(0, (height, width), (25, 2)):
        one.page.mouse.move(
            box["x"] + (x + 0.5) * box["width"] / width,
            box["y"] + (y + 0.5) * box["height"] / height,
        )
        name = classes[labels_HW[y, x]]
        one.page.wait_for_function(
            "name => document.querySelector('.ovss-hover').textContent == name", arg=name
        )
    lit = one.page.locator("tr.ovss-on td").first
    assert lit.inner_text() == name
    one.screenshot("hover")
    one.page.mouse.move(5, 5)
    one.page.wait_for_selector(".ovss-hover.ovss-on", state="hidden")
    assert one.page.locator("tr.ovss-on").count() == 0


def test_a_row_of_the_table_highlights_its_category(visit):
    one = visit()
    one.sample(0)
    one.segment()
    labels_HW = labels_of(one.download("labels.png"))
    row = one.page.locator("tr[data-index]").first
    row.hover()
    dark = one.page.wait_for_function(
        """() => {
            const canvas = document.querySelector('.ovss-view canvas');
            if (!canvas.width) return null;
            const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            const alphas = [...data.data].filter((value, i) => i % 4 == 3);
            return alphas.some(Boolean) ? alphas.map((value) => value ? 1 : 0) : null;
        }"""
    ).json_value()
    index = int(row.get_attribute("data-index"))
    np.testing.assert_array_equal(np.reshape(dark, labels_HW.shape), labels_HW != index)


def test_two_methods_side_by_side_and_their_lines(visit, tmp_path, monkeypatch):
    from ovss.cli.main import main

    one = visit()
    content = image_bytes("jpeg", size=(220, 160))
    one.upload("my photo.jpg", content, "image/jpeg")
    one.words("plain red circle, sofa|couch, sand")
    one.method("maskclip_mini")
    one.page.locator("#rules button").first.click()
    one.page.locator("#background textarea").fill("brick wall")
    one.page.locator("#threshold input[type=number]").fill("0.3")
    one.page.locator("#threshold input[type=number]").blur()
    one.segment(2)
    first, second = (card.bounding_box() for card in one.page.locator(".ovss-card").all())
    assert first["y"] == second["y"]
    assert first["x"] + first["width"] <= second["x"]
    downloads = [labels_of(one.download("labels.png", i)) for i in range(2)]
    assert one.download("coco.json").suggested_filename == "my photo_dcp_clip_mini_coco.json"
    labelme = json.loads(Path(one.download("labelme.json", 1).path()).read_text())
    assert (labelme["imageHeight"], labelme["imageWidth"]) == (160, 220)
    one.page.locator("#lines button").first.click()
    command = one.page.locator("#command .cm-content").inner_text()
    python = one.page.locator("#python .cm-content").inner_text()
    one.screenshot("compare")
    monkeypatch.chdir(tmp_path)
    Path("my photo.jpg").write_bytes(content)
    for line in command.splitlines():
        assert main(shlex.split(line)[1:]) == 0
    Path("outputs").rename("by_command")
    exec(python, {})
    for labels_HW, method in zip(downloads, ("dcp_clip_mini", "maskclip_mini"), strict=True):
        for folder in ("by_command", "outputs"):
            other_HW = np.asarray(Image.open(f"{folder}/{method}/my photo_labels.png"))
            np.testing.assert_array_equal(labels_HW, other_HW)


def test_150_categories(visit):
    one = visit()
    one.sample(2)
    one.words("mini_150")
    one.method("cat_seg_mini")
    one.method("maskclip_mini")
    one.segment(3)
    shares = one.page.locator("tr[data-index] td:nth-child(2)").all_inner_texts()
    assert sum(float(share.strip("<% ")) for share in shares) == pytest.approx(300, abs=3)
    one.screenshot("three")


def test_bad_input_gives_messages(visit):
    one = visit()
    one.expect_message("Expected at least one class name, got no words.")
    one.words("cat, cat")
    one.expect_message("the vocabulary names categories twice")
    one.words("cat, dog")
    one.expect_message("No image is chosen. Upload one, or choose a sample.")
    one.upload("broken.png", b"this is text")
    one.page.wait_for_selector("#image img, #image button[aria-label='Clear']")
    one.page.wait_for_timeout(500)
    one.expect_message("broken.png: ")
    one.screenshot("bad")
    one.errors.clear()  # the browser cannot show the file either


def test_large_files_and_images_give_messages(visit):
    one = visit()
    one.words("cat, dog")
    one.upload("wide.png", image_bytes(size=(800, 500)))
    one.page.wait_for_selector("#image img")
    one.expect_message("wide.png: the image has 800 x 500 pixels (0.4 million)")
    one.page.reload()
    one.page.wait_for_selector("#segment")
    one.upload("big.png", image_bytes() + bytes(LIMITS.upload))
    one.page.get_by_text(re.compile("exceed the maximum allowed size")).first.wait_for()
    one.screenshot("too_large")


def test_names_are_text_and_not_code(visit):
    one = visit()
    one.page.on("dialog", lambda dialog: one.errors.append(dialog.message))
    names = ["<img src=x onerror=alert(1)>", "{{constructor}}", "${alert(2)}", '"><b>x']
    one.upload("<img src=x onerror=alert(3)>.png", image_bytes())
    one.page.wait_for_selector("#image img")
    one.words(", ".join(names))
    one.segment()
    shown = one.page.locator("tr[data-index] td:first-child").all_inner_texts()
    assert set(shown) <= set(names)
    assert one.page.locator(".ovss-card img[src='x']").count() == 0
    view = one.page.locator(".ovss-view")
    assert json.loads(view.get_attribute("data-names")) == names


def test_a_narrow_screen_does_not_scroll_sideways(visit):
    one = visit(width=360)
    one.sample(1)
    one.method("maskclip_mini")
    one.segment(2)
    first, second = (card.bounding_box() for card in one.page.locator(".ovss-card").all())
    assert second["y"] >= first["y"] + first["height"]
    assert first["x"] + first["width"] <= 360
    assert one.page.evaluate("document.scrollingElement.scrollWidth") <= 360
    one.screenshot("narrow")


def test_a_full_queue_gives_a_message(browser, tmp_path):
    from ovss.web.server import PageServer, private_folder

    blocked = threading.Event()
    with private_folder() as folder:
        desk = new_desk(folder, replace(LIMITS, waiting=1, running=1), ("maskclip_mini",))
        desk.models.build = lambda name: blocked.wait(120) and None
        with PageServer(desk, [], [], "127.0.0.1", 0).in_thread() as place:
            visits = [Visit(browser, place) for _ in range(3)]
            for each in visits:
                each.upload("photo.png", image_bytes())
                each.page.wait_for_selector("#image img")
                each.words("cat, dog")
                each.page.locator("#segment").click()
                each.page.wait_for_timeout(1000)
            visits[-1].screenshot("queue")
            visits[-1].page.get_by_text("currently busy. Please try again.").wait_for()
            blocked.set()
            for each in visits:
                each.context.close()


def test_the_server_asks_for_no_other_host(outside):
    """Last: while all other tests ran, this process connected to nothing but itself."""
    assert outside() == []
