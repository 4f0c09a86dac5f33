"""`lit-hydra report` in a real browser, without a network: what the page shows, and what it never does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lit_hydra_bridge.hydra_text import quoted
from tests.browser import Opened, chromium, needs_chromium, opened
from tests.support import App, lit_hydra
from tests.swept_folder import page_data_of, write_sweep

pytestmark = needs_chromium

HOSTILE = "<img src=x onerror=hit()>"
SECTIONS = ("parallel", "effects", "curves", "jobs", "timeline")
METRIC = "val/<b onmouseover=hit()>重み</b></script><script>hit()</script>"
SECRET = "sk-9fQ2hostilesecret77"
PRELUDE = f"""
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from net import Net
from torch.utils.tensorboard import SummaryWriter


class Named(Net):
    def validation_step(self, batch, index):
        super().validation_step(batch, index)
        self.log({METRIC!r}, self.step(batch) + 1)
"""
BODY = """
    out = str(hydra.core.hydra_config.HydraConfig.get().runtime.output_dir)
    if cfg.model.lr > 5:
        raise RuntimeError("too hot: <script>hit()</script> & more")
    torch.manual_seed(1)
    logger = CSVLogger(out, "csv") if cfg.log == "csv" else TensorBoardLogger(out, "tb")
    best = ModelCheckpoint(dirpath=f"{out}/checkpoints", monitor="val_loss")
    t = trainer(max_epochs=3, default_root_dir=out, logger=logger, callbacks=[best], enable_checkpointing=True)
    t.fit(Named(lr=cfg.model.lr), data(), data())
    return float(t.callback_metrics["val_loss"])
"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a real sweep: twelve jobs, two loggers, four failures, names that nobody should trust."""
    app = App.create(tmp_path_factory.mktemp("report") / "app")
    app.add_to_config({"api_key": SECRET})
    app.script(BODY, PRELUDE)
    folder = app.folder / HOSTILE
    launcher = ("-m", "hydra/launcher=lit_local", "hydra.launcher.n_jobs=2", f"hydra.sweep.dir={quoted(str(folder))}")
    done = app.run(*launcher, "model.lr=0.01,0.1,10", "+log=csv,tb", f"+name=plain,'{HOSTILE}'", check=False)
    assert (folder / "11" / "job.json").exists(), done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def report(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    done = lit_hydra("report", str(sweep), "-o", str(path), cwd=path.parent)
    assert done.stdout.strip() == str(path)
    assert [item.name for item in path.parent.iterdir()] == ["report.html"]
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def shared(browser: Any, report: Path) -> Iterator[Opened]:
    with opened(browser, report, color_scheme="light") as page:
        yield page


@pytest.fixture
def page(shared: Opened) -> Iterator[Opened]:
    """The page as it shows itself at first; it was opened once, and says no error in any test."""
    shared.reset()
    yield shared
    shared.check()


def point_of(page: Opened, chart: str, trace: int, point: int) -> tuple[float, float]:
    """Return where a point of a chart is on the screen."""
    page.tab.locator(chart).scroll_into_view_if_needed()
    x, y = page.ask(
        """([chart, trace, point]) => {
            const graph = document.querySelector(chart), box = graph.getBoundingClientRect();
            const { xaxis, yaxis, _size: room } = graph._fullLayout, { x, y } = graph.data.at(trace);
            return [box.left + room.l + xaxis.d2p(x[point]), box.top + room.t + yaxis.d2p(y[point])];
        }""",
        [chart, trace, point],
    )
    return x, y


def test_every_section_shows_the_sweep(page: Opened) -> None:
    assert page.texts("h1") == [HOSTILE]
    assert "12 jobs" in page.texts("#facts")[0]
    tiles = "\n".join(page.texts("#summary"))
    assert "8 completed" in tiles and "4 failed" in tiles and "model.lr=0.1" in tiles and ".ckpt" in tiles
    assert "2 slots busy" in tiles
    for section in ("parallel", "effects", "curves", "timeline"):
        page.show(section)
    charts = page.ask("""() => [...document.querySelectorAll(".chart.js-plotly-plot")].map((one) =>
        [one.closest("section").id, one.data[0].type])""")
    assert charts == [
        ["parallel", "parcoords"], ["effects", "scatter"], ["effects", "box"], ["effects", "box"],
        ["curves", "scatter"], ["timeline", "bar"],
    ]  # fmt: skip
    assert page.texts("#effects .cell h3") == ["model.lr", "log", "name"]
    assert page.ask("document.querySelector('#effects .chart')._fullLayout.xaxis.type") == "linear"


def test_the_curves_of_both_loggers_are_those_of_the_files(page: Opened, sweep: Path) -> None:
    page.show("curves")
    drawn = page.ask("""() => document.querySelector("#curves .chart").data.flatMap((trace) =>
        trace.x.map((x, i) => [trace.customdata[i]?.[0], x, trace.y[i]])).filter((point) => point[1] !== null)""")
    by_job: dict[int, list[list[float]]] = {}
    for job, x, y in drawn:
        by_job.setdefault(job, []).append([x, y])
    assert len(by_job) == 8
    csvs = 0
    for number, points in by_job.items():
        logged = next((sweep / str(number)).rglob("metrics.csv"), None)
        assert len(points) == 3, number
        if logged is not None:
            csvs += 1
            head, *lines = [line.split(",") for line in logged.read_text().split("\n")[:-1]]
            step, loss = head.index("step"), head.index("val_loss")
            assert points == [[int(row[step]), pytest.approx(float(row[loss]), rel=1e-5)] for row in lines if row[loss]]
    assert csvs == 4


def test_hovering_over_a_curve_tells_its_job(page: Opened) -> None:
    page.show("curves")
    best = page.ask("JSON.parse(document.querySelector('#data').textContent).jobs.find((job) => "
                      "document.querySelector('#summary').innerText.includes(job.checkpoint)).number")  # fmt: skip
    page.tab.mouse.move(*point_of(page, "#curves .chart", -1, 1))
    page.tab.wait_for_selector("#curves .hovertext")
    told = page.texts("#curves .hovertext")[0]
    assert f"job {best}" in told and "completed" in told and "model.lr=0.1" in told


def test_hovering_over_an_effect_and_a_bar_tells_the_job(page: Opened) -> None:
    page.show("effects")
    page.tab.mouse.move(*point_of(page, "#effects .cell:nth-child(3) .chart", -1, 0))
    page.tab.wait_for_selector("#effects .hovertext")
    assert "job " in page.texts("#effects .hovertext")[0]
    page.show("timeline")
    bar = page.tab.locator("#timeline .trace.bars .point").first.bounding_box()
    page.tab.mouse.move(bar["x"] + bar["width"] / 2, bar["y"] + bar["height"] / 2)
    page.tab.wait_for_selector("#timeline .hovertext")
    assert "job " in page.texts("#timeline .hovertext")[0]


def test_the_table_is_sorted_by_any_column_and_what_is_missing_comes_last(page: Opened) -> None:
    page.show("jobs")
    values = page.column("return value")
    assert values[:8] == sorted(values[:8], key=float) and values[8:] == ["–"] * 4
    for direction in (1, -1):
        page.tab.locator("#table th button", has_text="model.lr").click()
        page.settle()
        rates = [float(text) for text in page.column("model.lr")]
        assert rates == sorted(rates)[::direction]
    assert page.tab.locator("#table th[aria-sort='descending']").inner_text().startswith("model.lr")
    page.tab.locator("#table th button", has_text="return value").click()
    page.settle()
    assert page.column("return value") == values


def test_the_filter_chooses_jobs_for_all_of_the_page(page: Opened) -> None:
    page.show("jobs")
    for text, shown, rates in (
        ("model.lr>0.05 outcome=completed", "4 of 12 jobs", {"0.1"}),
        ("lr >= 0.1 and lr < 5", "4 of 12 jobs", {"0.1"}),
        ("outcome=failed", "4 of 12 jobs", {"10"}),
        ("<img", "6 of 12 jobs", {"0.01", "0.1", "10"}),
        ("log!=csv lr=0.01", "2 of 12 jobs", {"0.01"}),
    ):
        page.filter(text, shown)
        assert set(page.column("model.lr")) == rates, text
    page.show("curves")
    assert page.ask("document.querySelector('#curves .chart').data.length") <= 2
    page.filter("no such text", "0 of 12 jobs")
    assert page.texts("#jobs .empty") == ["No job passes the filter."]
    assert page.texts("#effects .empty") == ["None of these jobs has a finite return value."]
    page.tab.fill("#filter", "lr>much")
    page.tab.wait_for_selector("#filter[aria-invalid='true']")
    page.tab.click("#clear")
    page.tab.wait_for_function("document.querySelector('#shown').textContent === '12 jobs'")
    page.settle()
    assert len(page.column("job")) == 12


def test_another_metric_and_the_other_end_of_it_make_another_job_the_best(page: Opened) -> None:
    options = page.texts("#metric option")
    assert options[0] == "return value" and {"val_loss", METRIC} <= set(options)
    before = page.texts("#summary .big")[0]
    page.tab.click("[data-mode=max]")
    page.tab.wait_for_function("document.querySelector('#summary').innerText.includes('highest return value')")
    assert page.texts("#summary .big")[0] != before
    page.tab.select_option("#metric", label=METRIC)
    page.tab.wait_for_function("document.querySelectorAll('#summary .big').length > 0")
    page.tab.click("[data-mode=min]")  # nothing says which end of it is best
    page.tab.wait_for_function("document.querySelector('#summary').innerText.includes('lowest val/<b')")
    page.show("curves")
    assert page.ask("document.querySelector('#curve').selectedOptions[0].textContent") == METRIC
    page.tab.select_option("#metric", label="return value")
    page.show("summary")
    assert page.texts("#summary .big")[0] == before


def test_brushing_an_axis_chooses_jobs_for_the_rest(page: Opened) -> None:
    page.show("parallel")
    page.ask("""() => {
        const axis = document.querySelector("#parallel .axis-brush .background-wrap, #parallel .axis-brush");
        axis.scrollIntoView({ block: "center" });
    }""")
    box = page.tab.locator("#parallel .axis-brush").first.bounding_box()
    page.tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 5)
    page.tab.mouse.down()
    page.tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.7, steps=4)
    page.tab.mouse.up()
    page.tab.wait_for_function("document.querySelector('#shown').textContent === '4 of 12 jobs'")
    page.show("jobs")
    page.settle()
    assert set(page.column("model.lr")) == {"0.01"}
    page.tab.emulate_media(color_scheme="dark")  # drawn anew, the axis is brushed as before
    page.show("parallel")
    kept = page.ask("document.querySelector('#parallel .chart').data[0].dimensions.map((one) => one.constraintrange)")
    assert kept[0] and not any(kept[1:]) and page.texts("#shown") == ["4 of 12 jobs"]
    page.tab.click("#clear")
    page.tab.wait_for_function("document.querySelector('#shown').textContent === '12 jobs'")


def test_a_job_tells_how_it_differs_from_the_best_and_how_to_run_it_again(page: Opened, sweep: Path) -> None:
    page.show("jobs")
    page.filter("lr=0.01 log=tb name=plain", "1 of 12 jobs")
    page.tab.locator("#table tbody tr .open").click()
    number = page.texts("#job h2")[0].removeprefix("Job ")
    rows = [row.split("\t") for row in page.texts("#job .changes tbody tr")]
    assert rows[0] == ["model.lr", "0.1", "0.01"] and len(rows) <= 3
    copied = []
    for button in page.tab.get_by_role("button", name="Copy the command").all():
        button.click()
        page.tab.wait_for_function("document.activeElement.textContent === 'Copied'")
        copied.append(page.ask("navigator.clipboard.readText()"))
    page.tab.keyboard.press("Escape")
    assert page.tab.locator("#job").is_hidden()
    again, anew = copied
    assert again.startswith("lit-hydra rerun ") and f"/{number}/checkpoints/" in again
    tool = str(Path(sys.executable).with_name("lit-hydra"))
    shown = shell(again.replace("lit-hydra", tool, 1) + " --dry-run", sweep)
    assert "model.lr=0.01" in shown
    config = shell(f"{anew} --cfg job", sweep)
    assert "lr: 0.01" in config and "name: plain" in config and "log: tb" in config


def shell(command: str, cwd: Path) -> str:
    """Run a line as it was copied."""
    return subprocess.run(command, shell=True, cwd=cwd, capture_output=True, text=True, timeout=100, check=True).stdout


def test_a_failed_job_tells_why(page: Opened) -> None:
    page.show("jobs")
    page.filter("outcome=failed", "4 of 12 jobs")
    page.tab.locator("#table tbody tr").first.click()
    assert "too hot: <script>hit()</script> & more" in page.texts("#job .reason")[0]


def test_names_with_markup_in_them_are_text_and_nothing_else(page: Opened) -> None:
    for section in SECTIONS:
        page.show(section)
    page.tab.select_option("#metric", label=METRIC)
    page.show("effects")
    page.tab.mouse.move(*point_of(page, "#effects .cell:nth-child(3) .chart", -1, 0))
    page.tab.wait_for_selector("#effects .hovertext")
    page.tab.locator("#table tbody tr").first.click()
    made = "img, iframe, object, embed, a[href^='http'], [onerror], [onmouseover], main b, main script"
    assert page.tab.locator(made).count() == 0
    assert page.tab.locator("script").count() == 3
    assert page.ask("typeof window.hit") == "undefined"
    labels = page.texts("#effects .cell:nth-child(3) .xtick text")
    assert labels == ["plain", "<img src=x onerro…"]
    assert any(text.startswith("val/<b onmouseover=hit()>重み") for text in page.texts("#effects .ytitle"))
    assert any("<img src=x o" in text for text in page.texts("#parallel .axis text"))
    assert any(text.startswith("val/<b ") for text in page.texts("#parallel .axis-title"))
    assert HOSTILE in page.column("name")


def test_no_secret_is_in_the_page(report: Path) -> None:
    assert SECRET not in report.read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_each_width_and_colour_scheme(page: Opened, scheme: str, width: int) -> None:
    page.tab.set_viewport_size({"width": width, "height": 1000})
    page.tab.emulate_media(color_scheme=scheme)
    for section in SECTIONS:
        page.show(section)
        page.settle()
    page.tab.locator("#table tbody tr").first.click()
    assert page.ask("document.documentElement.scrollWidth") <= width
    assert page.ask("document.body.scrollWidth") <= width
    too_wide = page.ask("""() => [...document.querySelectorAll("main > *, .tile, .cell, .cell .main-svg, #job")]
        .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5).map((one) => one.outerHTML)""")
    assert too_wide == []
    ground, text = brightness(page, "backgroundColor"), brightness(page, "color")
    assert ground < 60 < 200 < text if scheme == "dark" else text < 60 < 200 < ground
    drawn = page.ask("document.querySelector('#curves .chart').layout.font.color")
    assert drawn == page.ask("getComputedStyle(document.documentElement).getPropertyValue('--quiet')").strip()


def brightness(page: Opened, what: str) -> float:
    """Return how bright the page's text or ground is, 0 to 255."""
    colour = page.ask(f"getComputedStyle(document.body).{what}")
    return sum(int(part) for part in colour.partition("(")[2].rstrip(")").split(",")[:3]) / 3


@pytest.fixture(scope="module")
def three(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """The page of a sweep of three jobs."""
    path = report_of(write_sweep(tmp_path_factory.mktemp("few") / "three", 3))
    with opened(browser, path, color_scheme="light") as page:
        yield page


def test_three_jobs(three: Opened) -> None:
    for section in SECTIONS:
        three.show(section)
    assert len(three.column("job")) == 3
    assert three.tab.locator(".pager").is_hidden()
    assert three.ask("document.querySelector('#effects .cell:nth-child(2) .chart')._fullLayout.xaxis.type") == "log"
    three.check()


def test_the_theme_is_the_readers_own_if_they_say_so(three: Opened) -> None:
    three.tab.click("#theme")
    assert brightness(three, "backgroundColor") < 60
    three.tab.reload()
    assert brightness(three, "backgroundColor") < 60
    three.check()


def test_the_page_forbids_what_it_does_not_need(three: Opened) -> None:
    """Last with this page, which is not clean any more: what would run if a name became markup is refused."""
    three.ask("""async () => {
        const element = document.createElement("div");
        element.innerHTML = '<img src="data:,x" onerror="window.hit = 1">';
        document.body.append(element);
        const script = document.createElement("script");
        script.textContent = "window.hit = 2";
        document.body.append(script);
        await fetch("http://localhost:1/").catch(() => 0);
        await new Promise((done) => setTimeout(done, 100));
    }""")
    assert three.ask("typeof window.hit") == "undefined"
    assert len(three.errors) >= 3 and all("Content Security Policy" in text for text in three.errors[:2])


def test_two_thousand_jobs(browser: Any, tmp_path: Path) -> None:
    path = report_of(write_sweep(tmp_path / "many", 2000, epochs=20))
    assert path.stat().st_size < 9e6
    with opened(browser, path, width=1000, height=600) as page:
        for section in ("effects", "curves", "jobs"):
            page.show(section)
        assert len(page.column("job")) == 50
        assert page.ask("document.querySelector('#curves .chart').data.length") <= 12
        assert page.ask("document.querySelector('#curves .chart').data[0].type") == "scattergl"
        points = page.ask("document.querySelector('#curves .chart').data.reduce((sum, one) => sum + one.y.length, 0)")
        assert 40_000 <= points <= 44_000
        page.tab.get_by_role("button", name="Next page").click()
        page.settle()
        assert page.texts("#range") == ["51–100 of 2,000"]
        page.filter("net.depth=5 outcome=failed", "45 of 2,000 jobs")
        assert set(page.column("net.depth")) == {"5"}


def report_of(folder: Path) -> Path:
    from lit_hydra_bridge.results.read import read_sweep
    from lit_hydra_bridge.results.report.page import write_report

    path = folder.parent / "report.html"
    write_report(read_sweep(folder), path)
    assert page_data_of(path.read_text(encoding="utf-8"))["jobs"]
    return path
