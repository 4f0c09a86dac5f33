// Each override's effect on the metric: a small chart an override.

const MOST_CELLS = 12;
const MOST_POINTS = 3000;

function drawEffects(section) {
  const jobs = shownJobs().filter(hasValue);
  const cells = section.querySelector(".cells");
  const nothing =
    chosen.metric < 0 ? "No job has a metric yet."
    : KEYS.length === 0 ? "All jobs were given the same overrides."
    : jobs.length === 0 ? `None of these jobs has a finite ${metricName()}.`
    : "";
  if (sayEmpty(section, nothing)) return;
  const keys = KEYS.slice(0, MOST_CELLS);
  while (cells.children.length > keys.length) cells.lastChild.remove();
  while (cells.children.length < keys.length) {
    cells.append(make("div", { class: "cell" }, make("h3"), make("div", { class: "chart" })));
  }
  const drawn = thinned(jobs);
  keys.forEach((key, i) => {
    cells.children[i].querySelector("h3").textContent = key;
    drawEffect(cells.children[i].querySelector(".chart"), i, drawn);
  });
  const left = [
    KEYS.length > keys.length ? `The first ${keys.length} of ${KEYS.length} overrides are shown.` : "",
    drawn.length < jobs.length ? `${drawn.length} of ${jobs.length} jobs are drawn.` : "",
  ].filter(Boolean);
  section.querySelector(".empty").hidden = left.length === 0;
  section.querySelector(".empty").textContent = left.join(" ");
}

// Every n-th job, and the best one.
function thinned(jobs) {
  const every = Math.ceil(jobs.length / MOST_POINTS);
  const best = bestJob(jobs);
  return every < 2 ? jobs : jobs.filter((job, i) => i % every === 0 || job === best);
}

function drawEffect(chart, key, jobs) {
  const scale = scaleOf(jobs.map((job) => job.varying[key]));
  const traces = scale.kind === "category" ? boxes(scale, key, jobs) : points(scale, key, jobs);
  const values = jobs.map(valueOf);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const yaxis = axis({ title: { text: forPlotly(clipped(metricName(), 28)), standoff: 8 }, nticks: 6 });
  if (low > 0 && high / low >= 1000) Object.assign(yaxis, { type: "log", dtick: Math.ceil(Math.log10(high / low) / 5) });
  Plotly.react(chart, traces, layout({ height: 250, margin: { l: 48, r: 8, t: 8, b: 32 }, xaxis: effectAxis(scale, key, jobs), yaxis, boxgap: 0.45, dragmode: false }), CONFIG);
  openOnClick(chart);
}

function effectAxis(scale, key, jobs) {
  if (scale.kind === "category") {
    const every = Math.ceil(scale.names.length / MOST_TICKS);
    const ticks = scale.names.map((_, i) => i).filter((i) => i % every === 0);
    const length = scale.names.length > 6 ? 10 : 18;
    return axis({
      tickvals: ticks,
      ticktext: ticks.map((i) => forPlotly(clipped(scale.names[i], length))),
      range: [-0.6, scale.names.length - 0.4],
      showgrid: false,
    });
  }
  const distinct = [...new Set(jobs.map((job) => job.varying[key]).filter(isNumber))].sort((a, b) => a - b);
  const type = scale.kind;
  if (distinct.length > 7) return axis({ type, nticks: 6, showgrid: false });
  return axis({ type, tickvals: distinct, ticktext: distinct.map((value) => numberText(value, 3)), showgrid: false });
}

const pointStyle = (jobs) => {
  const best = bestJob();
  const [usual, special] = [colour("accent"), colour("pick")];
  return {
    size: jobs.map((job) => (job === best ? 9 : 6)),
    color: jobs.map((job) => (job === best ? special : usual)),
    opacity: jobs.map((job) => (job === best ? 1 : jobs.length > 300 ? 0.35 : 0.65)),
    line: { width: jobs.map((job) => (job === best ? 1.5 : 0)), color: colour("card") },
  };
};

const pointsTrace = (jobs, x) => ({
  type: "scatter",
  mode: "markers",
  x,
  y: jobs.map(valueOf),
  customdata: jobs.map((job) => [job.index, hoverText(job), numberText(valueOf(job))]),
  hovertemplate: `%{customdata[1]}<br>${forPlotly(metricName())} %{customdata[2]}<extra></extra>`,
  marker: pointStyle(jobs),
});

function points(scale, key, jobs) {
  const there = jobs.filter((job) => isNumber(job.varying[key]));
  const trace = pointsTrace(there, there.map((job) => job.varying[key]));
  const middle = medians(there, key);
  return middle.x.length < 2 ? [trace] : [middle, trace];
}

// A line through the medians, where several jobs share each value.
function medians(jobs, key) {
  const groups = new Map();
  for (const job of jobs) groups.set(job.varying[key], [...(groups.get(job.varying[key]) ?? []), valueOf(job)]);
  const x = groups.size <= 20 && groups.size * 2 <= jobs.length ? [...groups.keys()].sort((a, b) => a - b) : [];
  return {
    type: "scatter",
    mode: "lines",
    x,
    y: x.map((value) => median(groups.get(value))),
    line: { color: colour("quiet"), width: 1.5, dash: "dot" },
    hoverinfo: "skip",
  };
}

function median(values) {
  const sorted = values.slice().sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

// Points beside their box, spread by their place and not at random: a redraw leaves them where they are.
function boxes(scale, key, jobs) {
  const places = jobs.map((job) => scale.place.get(valueText(job.varying[key])));
  const spread = jobs.map((job) => (((job.index * 0.7548777) % 1) - 0.5) * 0.36);
  const box = {
    type: "box",
    x: places,
    y: jobs.map(valueOf),
    boxpoints: false,
    hoverinfo: "skip",
    line: { color: colour("quiet"), width: 1.2 },
    fillcolor: "rgba(0,0,0,0)",
    opacity: 0.7,
    width: 0.55,
    whiskerwidth: 0.4,
  };
  return [box, pointsTrace(jobs, places.map((place, i) => place + spread[i]))];
}
