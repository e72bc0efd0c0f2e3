"""Chromium without a window, and what the tests of the page ask it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

DRAWN = "return document.documentElement.hasAttribute('data-drawn')"


class Browser:
    """A browser that opens pages from a folder."""

    def __init__(self, driver: str, binary: str, folder: Path) -> None:
        from selenium.webdriver import Chrome, ChromeOptions
        from selenium.webdriver.chrome.service import Service

        options = ChromeOptions()
        options.binary_location = binary
        for argument in (
            "headless=new",
            "no-sandbox",
            "disable-dev-shm-usage",
            "disable-gpu",
            "disable-extensions",
        ):
            options.add_argument(f"--{argument}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = Chrome(options=options, service=Service(driver, log_output=subprocess.DEVNULL))
        self.folder = folder
        self.size(1280)

    def quit(self) -> None:
        self.driver.quit()

    def size(self, width: int, height: int = 600) -> None:
        shape = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)

    def write(self, page: str, name: str = "page.html") -> str:
        path = self.folder / name
        path.write_text(page, encoding="utf-8")
        return path.as_uri()

    def open(self, url: str, is_drawn: bool = True) -> None:
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(url)
        if is_drawn:
            self.wait()

    def show(self, url: str) -> None:
        """Go on with a page that is open, at another address; the whole page again only where it must be."""
        page, _, address = url.partition("#")
        if self.driver.current_url.partition("#")[0] != page:
            return self.open(url)
        self.run("location.hash = arguments[0]", address)
        self.run("return new Promise((done) => setTimeout(done, 0))")  # the page has been told
        return self.wait()

    def wait(self) -> None:
        self.wait_for(DRAWN)

    def wait_for(self, script: str, *values: object) -> None:
        from selenium.webdriver.support.wait import WebDriverWait

        wait = WebDriverWait(self.driver, 60, poll_frequency=0.05)
        wait.until(lambda driver: driver.execute_script(script, *values))

    def run(self, script: str, *values: object) -> Any:
        return self.driver.execute_script(script, *values)

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> set[str]:
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return {one["request"]["url"] for one in sent}

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def press(self, selector: str, keys: str) -> None:
        """Press keys as a person does who has no mouse."""
        self.run("document.querySelector(arguments[0]).focus()", selector)
        self.driver.switch_to.active_element.send_keys(keys)
        self.wait()

    def choose(self, selector: str, label: str) -> None:
        from selenium.webdriver.support.select import Select

        Select(self.find(selector)).select_by_visible_text(label)
        self.wait()

    def text(self, selector: str) -> str:
        return str(self.run("return document.querySelector(arguments[0]).textContent", selector))

    def column(self, box: str, number: int) -> list[str]:
        """Return the texts of a column of a table, the shown rows only."""
        script = """return [...document.querySelectorAll(`${arguments[0]} tbody tr`)]
            .map((row) => row.children[arguments[1]].textContent)"""
        return list(self.run(script, box, number))

    def marks(self, chart: str, kind: str) -> int:
        """Return how many marks of a kind a chart draws: paths, texts and so on of all its groups."""
        script = """return document.querySelectorAll(
            `[data-chart="${arguments[0]}"] svg g.mark-${arguments[1]} > *`).length"""
        return int(self.run(script, chart, kind))

    def unfold(self) -> None:
        """Open all that is folded away, and wait for its charts."""
        self.run("document.querySelectorAll('main details').forEach((one) => { one.open = true; })")
        self.wait_for(
            """return [...document.querySelectorAll('.chart')]
                .every((one) => !one.checkVisibility() || one.querySelector('svg.marks'))"""
        )
        self.wait()
