"""The page in a real browser: it asks nothing of any other host, and a click leads from iteration to explanation."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlparse

import pytest

from workbench.apps.access import hash_password

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SERVE = """
import sys
from pathlib import Path
from workbench.apps import serve
users = Path(sys.argv[3]) if len(sys.argv) > 3 else None
serve(Path(sys.argv[1]), int(sys.argv[2]), users=users)
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Server:
    def __init__(self, folder, log, *users):
        self.port, self.log = free_port(), log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SERVE, str(folder), str(self.port), *map(str, users)], stdout=out, stderr=out
            )
        self.url = f"http://127.0.0.1:{self.port}/"

    def __enter__(self):
        until = time.monotonic() + 90
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(self.url, timeout=10).read()
                return self
            except (OSError, urllib.error.URLError):
                if self.process.poll() is not None:
                    break
                time.sleep(0.3)
        raise AssertionError(f"the server did not start:\n{self.log.read_text()}")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="module")
def chromium():
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no chromium on PATH")
    sync = pytest.importorskip("playwright.sync_api")
    with sync.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


def watched(browser, **options):
    page = browser.new_page(viewport={"width": 1500, "height": 1000}, **options)
    asked, faults = [], []
    page.on("request", lambda r: asked.append(r.url))
    page.on("websocket", lambda s: asked.append(s.url))
    page.on("pageerror", lambda e: faults.append(str(e)))
    page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
    return page, asked, faults


def outside(asked):
    return [u for u in asked if urlparse(u).scheme not in ("data", "blob") and urlparse(u).hostname != "127.0.0.1"]


def test_from_iteration_to_lead_to_explanation_without_any_outside_request(chromium, small_reports, tmp_path):
    with Server(small_reports, tmp_path / "log") as server:
        page, asked, faults = watched(chromium)
        page.goto(server.url)
        page.get_by_text("审查预算内的命中率").wait_for(timeout=60_000)
        page.get_by_text("0.61").first.wait_for()
        page.get_by_role("tab", name="线索").click()
        page.get_by_text("恒泰<b>印染</b>厂 & 分厂").first.click()
        page.get_by_role("heading", name="恒泰<b>印染</b>厂 & 分厂").wait_for(timeout=30_000)
        page.get_by_text("二氧化硫连续 150 小时恒为 18.4 mg/m³").first.wait_for()
        page.get_by_text("调取仪器参数修改日志").first.wait_for()
        page.get_by_text("基线 -2.00").wait_for()
        names = page.evaluate(LABELS)
        assert any("最长恒值时长 = 150 h" in n for n in names), names
        assert any("permit" in t or "许可限值" in t for t in page.evaluate(LIMITS))
        page.get_by_role("button", name="English").click()
        page.get_by_text("SO₂ stood at 18.4 mg/m³").first.wait_for(timeout=30_000)
        page.get_by_text("A lead is a reason to look").wait_for()
        page.wait_for_timeout(500)
        wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, "the page must not scroll sideways"
        assert outside(asked) == []
        assert len(asked) > 5
        assert faults == []
    assert "workbench" not in server.log.read_text().replace(str(tmp_path), "")  # no traceback out of our own code


LABELS = """() => [...Bokeh.documents[0]._all_models.values()]
  .filter(m => m.type === 'LinearAxis')
  .flatMap(a => [...(a.major_label_overrides || new Map()).values()].map(String))"""
LIMITS = """() => [...Bokeh.documents[0]._all_models.values()].filter(m => m.type === 'Label').map(m => String(m.text))"""


def test_no_iteration_yet(chromium, tmp_path):
    with Server(tmp_path, tmp_path / "log") as server:
        page, asked, faults = watched(chromium)
        page.goto(server.url)
        page.get_by_text("还没有迭代").wait_for(timeout=60_000)
        page.get_by_text("make run").wait_for()
        assert outside(asked) == []
        assert faults == []


def test_sign_in_page_is_our_own_and_lets_only_users_in(chromium, small_reports, tmp_path):
    users = tmp_path / "users.txt"
    users.write_text(f"wang:{hash_password('a long password')}\n")
    with Server(small_reports, tmp_path / "log", users) as server:
        page, asked, _ = watched(chromium)
        page.goto(server.url)
        assert page.url.startswith(f"{server.url}login")
        for password in ("wrong password", "a long password"):
            page.fill("#username", "wang")
            page.fill("#password", password)
            page.get_by_role("button").click()
            if password.startswith("wrong"):
                page.get_by_role("alert").wait_for()
        page.get_by_text("审查预算内的命中率").wait_for(timeout=60_000)
        assert outside(asked) == []


def test_the_script_runs_with_nothing_on_stderr(small_reports, root):
    script = root / "workbench" / "apps" / "desk.py"
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=180,
        env=os.environ | {"WORKBENCH_REPORTS": str(small_reports)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
