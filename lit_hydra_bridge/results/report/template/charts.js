// What all charts share: colours of the theme, Plotly's layout, and drawing only what is looked at.

const OUTCOMES = ["completed", "running", "failed", "killed", "timed out", "interrupted", "unknown"];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const outcomeVariable = (outcome) => (OUTCOMES.includes(outcome) ? outcome.replace(" ", "-") : "unknown");
const scaleColours = () => [[0, colour("scale-0")], [0.5, colour("scale-1")], [1, colour("scale-2")]];

// Between the three colours of the scale.
function mixed(part) {
  const stops = scaleColours().map(([, text]) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16)));
  const [from, to, share] = part < 0.5 ? [stops[0], stops[1], part * 2] : [stops[1], stops[2], part * 2 - 1];
  return `rgb(${from.map((value, i) => Math.round(value + (to[i] - value) * share)).join(",")})`;
}

const axis = (more = {}) => ({
  gridcolor: colour("line"),
  linecolor: colour("line"),
  zeroline: false,
  automargin: true,
  ticks: "",
  ticklabelstandoff: 4,
  exponentformat: "power",
  title: { standoff: 10 },
  ...more,
});

const layout = (more = {}) => ({
  paper_bgcolor: "rgba(0,0,0,0)",
  plot_bgcolor: "rgba(0,0,0,0)",
  font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("quiet") },
  margin: { l: 48, r: 12, t: 8, b: 40 },
  showlegend: false,
  hovermode: "closest",
  hoverlabel: {
    align: "left",
    bgcolor: colour("card"),
    bordercolor: colour("line"),
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("text") },
  },
  dragmode: "zoom",
  ...more,
});

const CONFIG = {
  displaylogo: false,
  responsive: true,
  displayModeBar: "hover",
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
  plotlyServerURL: "",
};

const hasWebGl = (() => {
  const context = document.createElement("canvas").getContext("webgl");
  context?.getExtension("WEBGL_lose_context")?.loseContext(); // a page may have only a few
  return context !== null;
})();

// Each part of the page is drawn when it comes into view, and again when what it shows has changed.
const parts = new Map();
const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      const part = parts.get(entry.target.id);
      part.visible = entry.isIntersecting;
    }
    drawNext();
  },
  { rootMargin: "300px" },
);

function addPart(id, draw) {
  parts.set(id, { section: byId(id), draw, visible: false, stale: true });
  byId(id).setAttribute("aria-busy", "true");
  byId(id).classList.add("undrawn"); // and as high as if it were: else all would be in view at first
  watcher.observe(byId(id));
}

function drawPart(part) {
  part.stale = false;
  part.section.classList.remove("undrawn");
  part.section.removeAttribute("aria-busy");
  part.draw(part.section);
}

function redraw(...ids) {
  for (const [id, part] of parts) {
    if (ids.length > 0 && !ids.includes(id)) continue;
    part.stale = true;
    part.section.setAttribute("aria-busy", "true");
  }
  requestAnimationFrame(drawNext);
}

// A part a frame, so that the page answers in between.
function drawNext() {
  for (const part of parts.values()) {
    if (part.stale && part.visible) {
      drawPart(part);
      requestAnimationFrame(drawNext);
      return;
    }
  }
}

// Says why there is nothing to draw; an empty text means that there is.
function sayEmpty(section, text) {
  section.querySelector(".empty").hidden = text === "";
  section.querySelector(".empty").textContent = text;
  for (const other of section.querySelectorAll(".chart, .cells, .hint, .legend, .tools")) {
    if (!other.closest(".cell")) other.hidden = text !== "";
  }
  return text !== "";
}

// A click on a point opens its job; customdata's first item is the job's index.
function openOnClick(chart) {
  if (chart.listens) return;
  chart.listens = true;
  chart.on("plotly_click", (event) => {
    const index = event.points[0]?.customdata?.[0];
    if (index !== undefined) openJob(JOBS[index]);
  });
}
