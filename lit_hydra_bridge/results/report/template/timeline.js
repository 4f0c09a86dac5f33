// When each attempt ran, and on which slot; above it, how many jobs ran at a time.

const LOAD_BINS = 240;

function drawTimeline(section) {
  const chart = section.querySelector(".chart");
  const bars = shownJobs().flatMap((job) => job.attempts.map((attempt, i) => ({ job, attempt, count: i + 1 })));
  const lanes = DATA.lanes;
  if (sayEmpty(section, lanes.length === 0 ? "Nothing says when these jobs ran." : "")) return;
  section.querySelector(".hint").textContent = timelineText();
  const present = OUTCOMES.filter((outcome) => bars.some((bar) => bar.attempt.outcome === outcome));
  section.querySelector(".legend").replaceChildren(
    ...present.map((outcome) => make("span", {}, dot(outcome), outcome)),
  );
  const row = lanes.length > 40 ? 9 : lanes.length > 12 ? 16 : 26;
  const height = Math.min(900, lanes.length * row + 150);
  const split = 1 - 78 / (height - 48);
  const traces = [...present.map((outcome) => barTrace(outcome, bars.filter((bar) => bar.attempt.outcome === outcome))), loadTrace()];
  Plotly.react(chart, traces, layout({
    height,
    barmode: "overlay",
    bargap: lanes.length > 40 ? 0.1 : 0.25,
    xaxis: axis({ type: "date", showgrid: true, anchor: "y" }),
    yaxis: axis({ ...laneTicks(lanes, row), range: [lanes.length - 0.4, -0.6], domain: [0, split - 0.04], showgrid: false }),
    yaxis2: axis({ domain: [split, 1], title: { text: "running", standoff: 8 }, rangemode: "tozero", nticks: 3, tickformat: "d", fixedrange: true }),
    dragmode: "pan",
    shapes: markedBars(),
  }), CONFIG);
  openOnClick(chart);
}

// The open job's bars are framed by shapes: these alone can change without all the bars being drawn again.
function markedBars() {
  const attempts = chosen.job === null ? [] : JOBS[chosen.job].attempts;
  return attempts.map((one) => ({
    type: "rect",
    x0: localTime(one.started),
    x1: localTime(one.ended),
    y0: one.lane - 0.46,
    y1: one.lane + 0.46,
    line: { color: colour("pick"), width: 2 },
  }));
}

function markInTimeline() {
  const chart = document.querySelector("#timeline .chart");
  if (chart.data) Plotly.relayout(chart, { shapes: markedBars() });
}

function timelineText() {
  const { slots, utilisation, attempts } = DATA.time;
  const more = attempts > JOBS.length ? `, ${plural(attempts, "attempt")}` : "";
  return `A bar is an attempt at a job. ${plural(slots, "slot")}, busy ${Math.round(utilisation * 100)} % of the time${more}. Click a bar to open its job.`;
}

function laneTicks(lanes, row) {
  const every = Math.ceil(14 / row);
  const ticks = lanes.map((_, i) => i).filter((i) => i % every === 0);
  return { tickvals: ticks, ticktext: ticks.map((i) => forPlotly(clipped(lanes[i], 22))) };
}

// Plotly shows dates as UTC; the reader's own time is what they remember.
const localTime = (seconds) => {
  const date = new Date(seconds * 1000);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60000).toISOString().slice(0, -1);
};

function barTrace(outcome, bars) {
  return {
    type: "bar",
    orientation: "h",
    y: bars.map((bar) => bar.attempt.lane),
    base: bars.map((bar) => localTime(bar.attempt.started)),
    x: bars.map((bar) => Math.max(1, (bar.attempt.ended - bar.attempt.started) * 1000)),
    customdata: bars.map((bar) => [bar.job.index, attemptText(bar)]),
    hovertemplate: "%{customdata[1]}<extra></extra>",
    marker: { color: colour(outcomeVariable(outcome)), line: { width: bars.length > 300 ? 0 : 1, color: colour("card") } },
  };
}

function attemptText({ job, attempt, count }) {
  const which = job.attempts.length > 1 ? ` · attempt ${count} of ${job.attempts.length}` : "";
  const reason = attempt.reason ? `<br>${forPlotly(clipped(attempt.reason, 90))}` : "";
  const took = durationText(attempt.ended - attempt.started);
  return `<b>${jobName(job)}</b> · ${forPlotly(attempt.outcome)}${which}<br>${took} from ${timeText(attempt.started)}<br>${forPlotly(overridesText(job))}${reason}`;
}

// How many jobs ran, from each moment to the next one at which one began or ended.
function loadSteps() {
  const changes = JOBS.flatMap((job) => job.attempts.flatMap((one) => [[one.started, 1], [one.ended, -1]]));
  changes.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let running = 0;
  const steps = changes.map(([time, change]) => [time, (running += change)]);
  return steps.length > 2 * LOAD_BINS ? averaged(steps) : steps;
}

// The mean of each of many short stretches, where the moments are too many to tell apart.
function averaged(steps) {
  const [start, end] = [steps[0][0], steps[steps.length - 1][0]];
  const width = (end - start) / LOAD_BINS;
  const sums = new Array(LOAD_BINS + 1).fill(0);
  steps.slice(0, -1).forEach(([time, running], i) => {
    for (let from = time; from < steps[i + 1][0]; ) {
      const bin = Math.floor((from - start) / width);
      const to = Math.min(steps[i + 1][0], Math.max(start + (bin + 1) * width, from + width * 1e-6));
      sums[bin] += (running * (to - from)) / width;
      from = to;
    }
  });
  return sums.map((sum, bin) => [start + bin * width, sum]);
}

function loadTrace() {
  const steps = loadSteps();
  return {
    type: "scatter",
    mode: "lines",
    x: steps.map((step) => localTime(step[0])),
    y: steps.map((step) => step[1]),
    yaxis: "y2",
    line: { shape: "hv", width: 1.2, color: colour("quiet") },
    fill: "tozeroy",
    fillcolor: colour("sunk"),
    hovertemplate: "%{y:.3~g} running<extra></extra>",
  };
}
