"""Makes docs/page.jpg: the web page with a sample on it, in Chromium by Playwright.

pip install 'derain-cli[web]' playwright && python scripts/page_picture.py
"""

from __future__ import annotations

import io
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
SIZE = {"width": 1120, "height": 900}


def main() -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    command = [sys.executable, "-m", "derain_cli", "serve", "--port", "0", "--model", "fast", "--quiet"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        address = server.stdout.readline().strip()
        with sync_playwright() as driver:
            page = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"]).new_page(viewport=SIZE)
            page.goto(address)
            page.set_input_files("#files", [ROOT / "samples" / "launch_pad.jpg"])
            page.locator(".card a.button[aria-disabled=false]").wait_for(timeout=300_000)
            page.locator(".compare.both").wait_for()
            page.mouse.move(0, 0)
            shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        shot.save(ROOT / "docs" / "page.jpg", quality=78, optimize=True)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


if __name__ == "__main__":
    main()
