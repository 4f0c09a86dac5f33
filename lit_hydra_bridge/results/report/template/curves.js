// Learning curves of all jobs: coloured by how good the job is. A trace a colour, for two thousand of them are too slow.

const SHADES = 8;
const MANY_POINTS = 12000;
const curve = { name: -1, x: "step", log: false, own: false };

function startCurves() {
  const select = byId("curve");
  DATA.curves.names.forEach((name, i) => select.append(make("option", { value: i }, name)));
  select.addEventListener("change", () => {
    Object.assign(curve, { name: Number(select.value), own: true });
    redraw("curves");
  });
  byId("curve-x").addEventListener("change", (event) => {
    curve.x = event.target.value;
    redraw("curves");
  });
  byId("curve-log").addEventListener("change", (event) => {
    curve.log = event.target.checked;
    redraw("curves");
  });
}

// Unless the reader has taken one, the curve is that of the metric.
function followMetric() {
  if (curve.own) return;
  const named = DATA.curves.names.indexOf(metricName());
  curve.name = named >= 0 ? named : DATA.curves.first;
  byId("curve").value = String(curve.name);
}

function drawCurves(section) {
  const shown = new Set(shownJobs().map((job) => job.index));
  const all = DATA.curves.series.filter((one) => one.name === curve.name);
  const series = all.filter((one) => shown.has(one.job));
  const nothing =
    DATA.curves.names.length === 0 ? "No logger's files were found: neither a metrics.csv nor a TensorBoard event file that could be read."
    : "";
  if (sayEmpty(section, nothing)) return;
  const hasEpochs = all.some((one) => one.epoch);
  byId("curve-x").closest("label").hidden = !hasEpochs;
  const name = DATA.curves.names[curve.name];
  section.querySelector(".empty").hidden = series.length > 0;
  section.querySelector(".empty").textContent = series.length > 0 ? "" : `None of these jobs has logged ${name}.`;
  const chart = section.querySelector(".chart");
  const traces = curveTraces(series, hasEpochs ? curve.x : "step");
  const yaxis = axis({ title: { text: forPlotly(clipped(name, 40)), standoff: 10 }, type: curve.log ? "log" : "linear" });
  Plotly.react(chart, traces, layout({
    height: 440,
    xaxis: axis({ title: { text: hasEpochs ? curve.x : "step", standoff: 8 }, rangemode: "tozero" }),
    yaxis,
    uirevision: `${curve.name} ${curve.x} ${curve.log}`,
  }), CONFIG);
  openOnClick(chart);
}

function curveTraces(series, x) {
  const points = series.reduce((sum, one) => sum + one.y.length, 0);
  const type = points > MANY_POINTS && hasWebGl ? "scattergl" : "scatter";
  const place = ranks();
  const best = bestJob();
  const groups = new Map();
  const shadeOf = (one) => {
    if (one.job === chosen.job) return SHADES + 2;
    if (best && one.job === best.index) return SHADES + 1;
    return place.has(one.job) ? Math.min(SHADES - 1, Math.floor(place.get(one.job) * SHADES)) : -1;
  };
  for (const one of series) groups.set(shadeOf(one), [...(groups.get(shadeOf(one)) ?? []), one]);
  return [...groups.keys()].sort((a, b) => a - b).map((shade) => curveTrace(groups.get(shade), shade, type, x, series.length));
}

function curveTrace(group, shade, type, x, count) {
  const trace = { type, x: [], y: [], customdata: [], hovertemplate: "%{customdata[1]}<br>%{y:.5~g} at %{x}<extra></extra>" };
  const single = group.every((one) => one.y.length === 1);
  for (const one of group) {
    const data = [one.job, hoverText(JOBS[one.job])];
    const across = (x === "epoch" && one.epoch) || one.step;
    one.y.forEach((value, i) => {
      trace.x.push(across[i]);
      trace.y.push(asNumber(value));
      trace.customdata.push(data);
    });
    trace.x.push(null); // a gap before the next job
    trace.y.push(null);
    trace.customdata.push(null);
  }
  const marked = shade > SHADES;
  const tint = shade === SHADES + 2 ? colour("pick") : shade === SHADES + 1 ? mixed(1) : shade < 0 ? colour("unknown") : mixed(shade / (SHADES - 1));
  return {
    ...trace,
    mode: single ? "markers" : "lines",
    connectgaps: false,
    opacity: marked || count <= 60 ? 1 : 0.6,
    line: { color: tint, width: marked ? 2.6 : count <= 60 ? 1.4 : 1 },
    marker: { color: tint, size: marked ? 8 : 5 },
  };
}
