"""What people ask MLflow's UI, as clicks in a browser, from the page that `tsn ui` names.

`python tests/mlflow_questions.py ADDRESS` asks all seven of a project that has two recipes and a
champion, tells how long each took, and leaves a picture of each answer in the folder `questions`.
"""

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
Page = Any  # of Playwright
# What MLflow offers at the first visit, closed as by a click.
CLOSED = {
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    "mlflow.assistant.panelOpen_v1": "false",
    "_mlflow_model_registry_promo_modal_dismissed_v1": "true",
}
CLOSE = "".join(f"localStorage.setItem('{key}', '{value}');" for key, value in CLOSED.items())


def best_modality_of_split_2(page: Page) -> str:
    """Return the first row of the streams of split 2, best first."""
    open_view(page, "Streams, best first")
    search(page, "tags.stage = 'cell' and tags.split = '2'")
    return str(page.locator(".ag-center-cols-container [row-index='0']").first.inner_text())


def two_recipes(page: Page) -> str:
    """Return what the page says that compares both pipeline runs."""
    open_view(page, "Pipeline runs")
    tick(page, 2)
    page.get_by_role("button", name="Compare").click()
    page.get_by_text("Show diff only").first.wait_for()
    for switch in page.get_by_role("switch").all():
        if not switch.is_checked():
            switch.click()
    return str(page.locator("main, body").first.inner_text())


def flow_at_two_learning_rates(page: Page) -> str:
    """Return the legend of the loss curves of flow's networks of split 1."""
    open_view(page, "Streams, best first")
    search(page, "tags.modality = 'flow' and tags.split = '1'")
    page.locator("label:has(input[name='runs-view-mode'][value='CHART'])").click()
    page.get_by_text("train/loss", exact=True).first.scroll_into_view_if_needed()
    return str(page.locator("main, body").first.inner_text())


def confusion_of_a_fusion(page: Page) -> str:
    """Return where the picture of the best fusion's confusion matrix comes from."""
    open_view(page, "Fusions, best first")
    page.locator(".ag-center-cols-container, .ag-pinned-left-cols-container").get_by_role(
        "link"
    ).first.click()
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("confusion.png", exact=True).first.click()
    picture = page.locator("img[src*='confusion.png'], img[src^='blob:'], img[src^='data:image']")
    picture.first.wait_for()
    return str(picture.first.get_attribute("src"))


def what_made_the_champion(page: Page) -> str:
    """Return the card of the champion, with its commit and data."""
    open_model(page)
    row = page.get_by_role("row").filter(has_text="champion")
    row.get_by_role("link", name="Version").first.click()
    page.get_by_text("mean class accuracy on").first.wait_for()
    return str(page.locator("main, body").first.inner_text())


def data_of_the_champion(page: Page) -> str:
    """Return what the drawer says of the champion's training videos."""
    what_made_the_champion(page)
    page.get_by_role("link", name="recogniser").first.click()
    page.get_by_text("train (").first.click()
    page.get_by_role("dialog").first.wait_for()
    return str(page.get_by_role("dialog").first.inner_text())


def how_to_ask_the_champion(page: Page) -> str:
    """Return what the registered model says of its use."""
    open_model(page)
    page.get_by_text("curl ").first.wait_for()
    return str(page.locator("main, body").first.inner_text())


QUESTIONS: dict[str, Callable[[Page], str]] = {
    function.__name__: function
    for function in (
        best_modality_of_split_2,
        two_recipes,
        flow_at_two_learning_rates,
        confusion_of_a_fusion,
        what_made_the_champion,
        data_of_the_champion,
        how_to_ask_the_champion,
    )
}


def open_model(page: Page) -> None:
    """Open the only registered model."""
    page.get_by_role("link", name="Model registry").click()
    page.locator("a[href^='#/models/']").first.click()


def open_view(page: Page, title: str) -> None:
    """Choose a saved view in the menu of views."""
    page.get_by_role("button", name="Pipeline runs").first.click()
    page.get_by_role("menu").get_by_text(title, exact=True).click()
    page.get_by_role("button", name=title).first.wait_for()
    page.locator(".ag-center-cols-container [row-index='0']").first.wait_for()


def search(page: Page, text: str) -> None:
    """Search for runs."""
    field = page.locator("input[placeholder^='metrics.rmse']")
    field.fill(text)
    with page.expect_response(lambda answer: "runs/search" in answer.url):
        field.press("Enter")
    page.wait_for_timeout(500)  # until the table is drawn


def tick(page: Page, count: int) -> None:
    """Tick the first rows."""
    boxes = page.locator(".ag-row .ag-checkbox-input")
    for number in range(count):
        boxes.nth(number).click()


def new_page(browser: Any) -> Page:
    """Return an empty page of a browser, without what MLflow offers at the first visit."""
    context = browser.new_context(viewport={"width": 1500, "height": 900})
    context.add_init_script(CLOSE)
    page = context.new_page()
    page.set_default_timeout(30_000)
    return page


def main(address: str, *wanted: str) -> None:
    from playwright.sync_api import sync_playwright

    Path("questions").mkdir(exist_ok=True)
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name in wanted or QUESTIONS:
            page = new_page(browser)
            began = time.monotonic()
            page.goto(address)
            answer = QUESTIONS[name](page)
            took = time.monotonic() - began
            sys.stdout.write(f"{name}: {took:.1f} s\n{answer[:1500]}\n\n")
            page.wait_for_timeout(1500)
            page.screenshot(path=f"questions/{name}.png")
            page.close()
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
