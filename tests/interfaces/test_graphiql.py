"""GraphiQL in a real browser without a network: it renders, and runs a query under its policy."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from interfaces.access.caller import Scope
from tests.interfaces.access.guarded import Guarded
from tests.interfaces.graphql_api.serving import Served, active_customer, open_account

DRIVER = shutil.which("chromedriver")
BROWSER = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)

pytestmark = pytest.mark.skipif(
    DRIVER is None or BROWSER is None,
    reason="needs Chromium and its driver (on Debian: apt install chromium chromium-driver)",
)

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # how WebDriver calls an element's id


class Browser:
    """A browser, driven by the W3C WebDriver protocol."""

    def __init__(self, driver: httpx.Client, profile: Path) -> None:
        self._driver = driver
        arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1400,900",
            f"--user-data-dir={profile}",
        ]
        capabilities = {
            "goog:chromeOptions": {"binary": BROWSER, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        session = self._post("/session", capabilities={"alwaysMatch": capabilities})
        self._session = f"/session/{session['sessionId']}"

    def close(self) -> None:
        self._driver.delete(self._session)

    def open(self, url: str) -> None:
        self._post(f"{self._session}/url", url=url)

    def run(self, script: str) -> Any:
        return self._post(f"{self._session}/execute/sync", script=script, args=[])

    def click(self, selector: str) -> None:
        found = self._post(f"{self._session}/element", using="css selector", value=selector)
        self._post(f"{self._session}/element/{found[_ELEMENT]}/click")

    def log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self._post(f"{self._session}/se/log", type=kind)
        return entries

    def wait_for(self, script: str, seconds: float = 20) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := self.run(script)):
            assert time.monotonic() < deadline, f"never true: {script}"
            time.sleep(0.1)
        return found

    def _post(self, path: str, **body: Any) -> Any:
        answer = self._driver.post(path, json=body).json()["value"]
        assert not (isinstance(answer, dict) and "error" in answer), answer
        return answer


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert DRIVER is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([DRIVER, f"--port={port}", "--silent"]) as process:  # noqa: S603 -- found above
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as driver:
                _await(driver)
                browser = Browser(driver, tmp_path_factory.mktemp("browser"))
                yield browser
                browser.close()
        finally:
            process.terminate()


def _await(driver: httpx.Client) -> None:
    for _ in range(100):
        try:
            driver.get("/status")
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("chromedriver does not answer")


def test_graphiql_runs_its_first_query_and_asks_nobody_else(bank: Served, browser: Browser) -> None:
    open_account(bank, active_customer(bank, "Ada Lovelace"), deposit="12.30")

    browser.open(f"{bank.address}/graphql")
    browser.wait_for("return document.querySelector('.graphiql-execute-button') !== null")
    browser.click(".graphiql-execute-button")
    answer = browser.wait_for(
        "const shown = document.querySelector('.result-window .CodeMirror');"
        "return shown && shown.CodeMirror.getValue()"
    )

    assert json.loads(answer)["data"]["customers"]["edges"]
    assert "errors" not in json.loads(answer)
    assert foreign_requests(browser, bank.address) == []
    assert complaints(browser) == []


def test_graphiql_shows_the_documentation_of_the_schema(bank: Served, browser: Browser) -> None:
    browser.open(f"{bank.address}/graphql")
    browser.wait_for(
        "return document.querySelector('[aria-label=\"Show Documentation Explorer\"]')"
    )
    browser.click("[aria-label='Show Documentation Explorer']")
    shown = browser.wait_for(
        "const docs = document.querySelector('.graphiql-doc-explorer-content');"
        "return docs && docs.innerText.includes('Query') && docs.innerText"
    )
    assert "Mutation" in shown
    assert complaints(browser) == []


def test_graphiql_asks_with_the_token_that_stands_under_its_headers(
    guarded: Guarded, browser: Browser
) -> None:
    header = json.dumps({"Authorization": f"Bearer {guarded.token(Scope.READ)}"})

    browser.open(f"{guarded.bank.address}/graphql")
    browser.wait_for("return document.querySelector('.graphiql-execute-button') !== null")
    browser.wait_for(
        "const [, headers] = document.querySelectorAll('.graphiql-editor-tool .CodeMirror');"
        f"headers?.CodeMirror.setValue({json.dumps(header)}); return headers !== undefined"
    )
    browser.click(".graphiql-execute-button")
    answer = browser.wait_for(
        "const shown = document.querySelector('.result-window .CodeMirror');"
        "return shown && shown.CodeMirror.getValue()"
    )

    assert "errors" not in json.loads(answer)
    assert "customers" in json.loads(answer)["data"]
    # All that it was denied is the schema, which it asks for before it has a token.
    assert all("401 (Unauthorized)" in said for said in complaints(browser))


def foreign_requests(browser: Browser, address: str) -> list[str]:
    """What the page asked of anybody but the bank."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert any(url.endswith("/graphiql/graphiql.min.js") for url in asked)
    over_a_network = [url for url in asked if url.startswith(("http", "ws"))]
    return [url for url in over_a_network if not url.startswith(address)]


def complaints(browser: Browser) -> list[str]:
    """What the browser says in its console: of a policy that was broken, above all."""
    return [entry["message"] for entry in browser.log("browser") if entry["level"] == "SEVERE"]
