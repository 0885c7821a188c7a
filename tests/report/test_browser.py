"""Reports in a real browser: they show, sort and slide, and it has nothing to complain about."""

import os
import shutil

import pytest

from monai_supmix.report import write_evaluation_report
from tests.report.examples import evaluation, history, volume_case

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium with chromedriver here")
CASES = {f"ct {n}": volume_case(n, size=(60, 50, 16)) for n in (2, 10, 3, 1, 4, 5, 6)}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    folder = tmp_path_factory.mktemp("profile")
    for word in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-dev-shm-usage",
        f"user-data-dir={folder}",
    ):
        options.add_argument(f"--{word}")
    options.add_argument("--window-size=1240,1600")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    environment = {**os.environ, "NO_PROXY": "localhost,127.0.0.1"}
    driver = webdriver.Chrome(options, Service(DRIVER, env=environment))
    yield driver
    driver.quit()


@pytest.fixture
def report(browser, tmp_path):
    path = tmp_path / "report.html"
    write_evaluation_report(path, *evaluation(CASES), "evaluate", history())
    browser.get_log("performance")  # the browser's own first page
    browser.get(path.as_uri())
    yield browser
    assert browser.get_log("browser") == []
    requests = [entry["message"] for entry in browser.get_log("performance")]
    sent = [message for message in requests if '"Network.requestWillBeSent"' in message]
    sent = [message for message in sent if '"documentURL":"chrome:' not in message]  # the browser's own first page
    assert sent
    assert [message for message in sent if '"url":"file:' not in message and '"url":"data:' not in message] == []


@pytest.fixture
def telephone(browser):
    """A small screen in dark colours."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    )
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
    yield browser
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def shown(browser, selector):
    return [e for e in browser.find_elements(By.CSS_SELECTOR, selector) if e.is_displayed()]


def test_it_shows(report):
    assert report.title == "Evaluation report"
    assert len(shown(report, "section")) == 8
    assert len(shown(report, ".chart svg")) == 12
    line = report.find_element(By.CSS_SELECTOR, ".chart polyline")
    assert line.size["width"] > 50
    assert line.value_of_css_property("stroke") == "rgb(0, 114, 178)"
    pictures = shown(report, ".tile img")
    assert len(pictures) == 6 * 3  # of each case one slice
    assert all(picture.get_property("naturalWidth") == 60 for picture in pictures)
    assert all(200 < picture.size["width"] < 400 for picture in pictures)
    base = shown(report, ".tile .base")[0]
    assert base.value_of_css_property("background-image").startswith('url("data:image/jpeg;base64,')
    too_wide = "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not report.execute_script(too_wide)


def test_long_names_fit_on_a_small_screen_in_the_dark(telephone, tmp_path):
    names = ["background", "a_finding_with_a_name_without_any_blank_that_is_longer_than_the_screen", "b", "c"]
    cases = {f"case_{'name_without_blanks_' * 5}{n}": volume_case(n, size=(60, 50, 6)) for n in (1, 2)}
    summary, measures, gallery = evaluation(cases, names)
    path = tmp_path / "report.html"
    write_evaluation_report(path, summary, measures, gallery, "evaluate " + "x" * 300, history(class_names=names))
    telephone.get(path.as_uri())
    telephone.execute_script("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    assert telephone.execute_script("return document.documentElement.scrollWidth") == 360
    for cell in shown(telephone, "td:first-child"):
        assert cell.size["width"] < 200  # figures are beside it
    page, ink = (
        telephone.execute_script("return getComputedStyle(document.body)[arguments[0]]", name).strip("rgb()").split(",")
        for name in ("backgroundColor", "color")
    )
    assert max(map(int, page)) < 50
    assert min(map(int, ink)) > 200
    assert telephone.get_log("browser") == []


def test_its_script_and_style_are_allowed_and_nothing_else_is(report):
    fetch = "const done = arguments[0]; fetch('data:,x').then(() => done('fetched'), () => done('refused'))"
    assert report.execute_async_script(fetch) == "refused"
    assert "Content Security Policy" in report.get_log("browser")[0]["message"]


def test_tables_sort_by_number_and_by_name_with_dashes_last(report):
    table = report.find_element(By.CSS_SELECTOR, "#cases table")
    column = lambda number: [  # noqa: E731
        row.text for row in table.find_elements(By.CSS_SELECTOR, f"tbody td:nth-child({number})")
    ]
    heads = table.find_elements(By.TAG_NAME, "button")
    heads[0].click()
    assert column(1) == ["ct 1", "ct 2", "ct 3", "ct 4", "ct 5", "ct 6", "ct 10"]
    heads[1].send_keys(Keys.ENTER)
    rising = [float(value) for value in column(2)]
    assert rising == sorted(rising)
    assert column(1)[0] == "ct 10"
    heads[1].click()
    assert [float(value) for value in column(2)] == rising[::-1]
    marks = [h.get_attribute("aria-sort") for h in table.find_elements(By.TAG_NAME, "th")]
    assert [mark for mark in marks if mark] == ["descending"]

    report.execute_script("scrollTo(0, 0)")
    results = report.find_element(By.CSS_SELECTOR, "#results table")
    distance = next(b for b in results.find_elements(By.TAG_NAME, "button") if b.text.startswith("HD95"))
    for _ in range(2):
        distance.click()
        names = [row.text for row in results.find_elements(By.CSS_SELECTOR, "tbody td:first-child")]
        assert names[-1] == "background"  # it has no distance
        assert results.find_element(By.CSS_SELECTOR, "tfoot td").text == "mean of the foreground"


def test_sliders_show_one_slice_after_the_other(report):
    case = report.find_element(By.CSS_SELECTOR, ".case")
    slider = case.find_element(By.CSS_SELECTOR, "input")
    count = len(case.find_elements(By.CSS_SELECTOR, ".slice"))
    assert int(slider.get_attribute("max")) == count - 1
    slider.send_keys(Keys.HOME)
    places, pictures = [], []
    for _ in range(count):
        (visible,) = [s for s in case.find_elements(By.CSS_SELECTOR, ".slice") if s.is_displayed()]
        places.append(case.find_element(By.TAG_NAME, "output").text)
        assert places[-1] == visible.get_attribute("data-place")
        pictures.append(visible.find_elements(By.CSS_SELECTOR, ".tile img")[-1].get_attribute("src"))
        slider.send_keys(Keys.ARROW_RIGHT)
    numbers = [int(place.split()[0]) for place in places]
    assert numbers == sorted(set(numbers))
    assert len(set(pictures)) > 1


def test_colours_fade_and_pictures_grow(report):
    picture = shown(report, ".tile img")[0]
    assert picture.value_of_css_property("opacity") == "0.8"
    report.find_element(By.CSS_SELECTOR, ".strength input").send_keys(Keys.HOME)
    assert picture.value_of_css_property("opacity") == "0"
    before = picture.size["width"]
    view = shown(report, ".tile.tinted .view")[0]
    view.click()
    assert picture.size["width"] > 2 * before
    view.send_keys(Keys.ENTER)
    assert picture.size["width"] == before
