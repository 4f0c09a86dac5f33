// Parallel coordinates: the overrides, then the metrics; brushing an axis chooses jobs for the whole page.

const MOST_METRICS = 4;
const MOST_TICKS = 14;

function drawParallel(section) {
  const chart = section.querySelector(".chart");
  const jobs = shownJobs({ brushed: false }).filter(hasValue);
  const dimensions = [...KEYS.map((key, i) => overrideDimension(key, jobs.map((job) => job.varying[i]))), ...metricDimensions(jobs)];
  const nothing =
    chosen.metric < 0 ? "No job has a metric yet."
    : KEYS.length === 0 ? "All jobs were given the same overrides."
    : !hasWebGl ? "This browser has no WebGL, which this chart needs."
    : jobs.length === 0 ? `None of these jobs has a finite ${metricName()}.`
    : "";
  if (sayEmpty(section, nothing)) return;
  section.querySelector(".hint").hidden = false;
  chart.style.minWidth = `${dimensions.length * 118 + 60}px`;
  const place = ranks();
  const trace = {
    type: "parcoords",
    dimensions,
    line: { color: jobs.map((job) => place.get(job.index)), colorscale: scaleColours(), cmin: 0, cmax: 1 },
    labelfont: { size: 12, color: colour("text") },
    tickfont: { size: 11, color: colour("quiet") },
    rangefont: { size: 10, color: "rgba(0,0,0,0)" },
    unselected: { line: { color: colour("quiet"), opacity: 0.06 } },
    labelside: "top",
  };
  if (chosen.brushed !== null) dimensions.forEach((one, i) => (one.constraintrange = chart.limits[i]));
  chart.jobs = jobs;
  Plotly.react(chart, [trace], layout({ height: 380, margin: { l: 72, r: 72, t: 44, b: 16 } }), CONFIG);
  if (!chart.listens) {
    chart.listens = true;
    chart.on("plotly_restyle", () => chooseBrushed(chart));
  }
}

function overrideDimension(key, values) {
  const scale = scaleOf(values);
  const label = forPlotly(clipped(key.split(/[./]/).slice(-2).join("."), 18));
  if (scale.kind === "category") {
    const every = Math.ceil(scale.names.length / MOST_TICKS);
    const ticks = scale.names.map((name, i) => i).filter((i) => i % every === 0);
    return {
      label,
      values: values.map((value, i) => scale.place.get(valueText(value)) + fanned(i)),
      range: scale.names.length > 1 ? [-0.1, scale.names.length - 0.9] : [-1, 1],
      tickvals: ticks,
      ticktext: ticks.map((i) => clipped(scale.names[i], 14)), // here alone Plotly takes text as it is
    };
  }
  return numberDimension(label, values, scale);
}

// Lines through one category lie beside each other, so that each is seen.
const fanned = (i) => (((i * 0.7548777) % 1) - 0.5) * 0.14;

// Where a job has no such override its line goes below all numbers.
function numberDimension(label, values, scale) {
  const onAxis = scale.kind === "log" ? Math.log10 : (value) => value;
  const [low, high] = [onAxis(scale.low), onAxis(scale.high)];
  const room = high > low ? high - low : Math.abs(high) || 1;
  const bottom = scale.missing ? low - room * 0.15 : low;
  const distinct = [...new Set(values.filter(isNumber))].sort((a, b) => a - b);
  const ticks = distinct.length <= 8 ? distinct : evenTicks(scale);
  return {
    label,
    values: values.map((value) => (value === null ? bottom : onAxis(value))),
    range: high > low || scale.missing ? [bottom, high] : [low - room / 2, high + room / 2],
    tickvals: [...(scale.missing ? [bottom] : []), ...ticks.map(onAxis)],
    ticktext: [...(scale.missing ? ["–"] : []), ...ticks.map((value) => numberText(value, 3))],
  };
}

function evenTicks(scale) {
  if (scale.kind === "log") {
    const ticks = [];
    for (let power = Math.ceil(Math.log10(scale.low)); power <= Math.log10(scale.high); power++) ticks.push(10 ** power);
    if (ticks.length >= 2) return [...new Set([scale.low, ...ticks, scale.high])];
  }
  return [0, 0.25, 0.5, 0.75, 1].map((part) => scale.low + part * (scale.high - scale.low));
}

// The chosen metric stands last, where the eye ends.
function metricDimensions(jobs) {
  const others = METRICS.map((_, i) => i).filter((i) => i !== chosen.metric && jobs.every((job) => isNumber(job.metrics[i])));
  const indices = [...others.slice(0, MOST_METRICS - 1), chosen.metric].filter((i) => i >= 0);
  return indices.map((i) => {
    const values = jobs.map((job) => job.metrics[i]);
    const dimension = numberDimension(forPlotly(clipped(METRICS[i].name, 18)), values, { ...scaleOf(values), kind: "linear" });
    // Better is above.
    const turned = i === chosen.metric && chosen.mode === "min";
    return turned ? { ...dimension, range: dimension.range.slice().reverse() } : dimension;
  });
}

function chooseBrushed(chart) {
  const limits = chart.data[0].dimensions.map((one) => one.constraintrange);
  chart.limits = limits;
  if (limits.every((limit) => !limit || limit.length === 0)) {
    chosen.brushed = null;
  } else {
    const passes = (index) => limits.every((limit, axis) => isWithin(chart.data[0].dimensions[axis].values[index], limit));
    chosen.brushed = new Set(chart.jobs.filter((_, index) => passes(index)).map((job) => job.index));
  }
  showChoice();
  redraw("effects", "curves", "jobs", "timeline");
}

function isWithin(value, limit) {
  if (!limit || limit.length === 0) return true;
  const ranges = Array.isArray(limit[0]) ? limit : [limit];
  return ranges.some(([from, to]) => value >= Math.min(from, to) && value <= Math.max(from, to));
}

function forgetBrush() {
  if (chosen.brushed === null) return;
  chosen.brushed = null;
  const chart = document.querySelector("#parallel .chart");
  if (chart.data) Plotly.purge(chart); // Plotly.react keeps what was brushed
  chart.listens = false;
}
