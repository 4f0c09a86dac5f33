// The sweep's data, what the reader has chosen, and what follows from both.

const DATA = JSON.parse(byId("data").textContent);
const KEYS = DATA.keys;
const METRICS = DATA.metrics;
const JOBS = DATA.jobs.map((job, index) => ({ ...job, index, metrics: job.metrics.map(asNumber) }));

const chosen = {
  metric: DATA.metric, // index in METRICS; -1: there is none
  mode: DATA.mode, // min or max; null: nothing says which end is best
  filter: "",
  brushed: null, // a Set of indices of jobs, from the parallel coordinates
  job: null, // index of the job that is open
};

const metricName = () => (chosen.metric < 0 ? "" : METRICS[chosen.metric].name);
const valueOf = (job) => (chosen.metric < 0 ? null : job.metrics[chosen.metric]);
const hasValue = (job) => isNumber(valueOf(job));

// Negative where a is the better of two numbers.
const compareValues = (a, b) => (chosen.mode === "max" ? b - a : a - b);

// A job whose config has changed since is not compared with the others.
function bestJob(jobs = JOBS) {
  let best = null;
  if (chosen.mode === null) return best;
  for (const job of jobs) {
    if (hasValue(job) && !job.differs.includes("config") && (best === null || compareValues(valueOf(job), valueOf(best)) < 0)) best = job;
  }
  return best;
}

// 0 for the worst job to 1 for the best: by rank, so that one diverged job doesn't take all the colours.
function ranks() {
  if (chosen.mode === null) return new Map(JOBS.filter(hasValue).map((job) => [job.index, 0.5]));
  const sorted = JOBS.filter(hasValue).sort((a, b) => compareValues(valueOf(b), valueOf(a)));
  const result = new Map();
  sorted.forEach((job, place) => {
    const same = place > 0 && valueOf(sorted[place - 1]) === valueOf(job);
    result.set(job.index, same ? result.get(sorted[place - 1].index) : sorted.length > 1 ? place / (sorted.length - 1) : 1);
  });
  return result;
}

function shownJobs({ brushed = true } = {}) {
  const matches = matcher(chosen.filter);
  return JOBS.filter((job) => matches(job) && (!brushed || chosen.brushed === null || chosen.brushed.has(job.index)));
}

const jobName = (job) => `job ${job.number}`;

function overridesText(job, length = 90) {
  const parts = KEYS.map((key, i) => (job.varying[i] === null ? null : `${key}=${valueText(job.varying[i])}`));
  return clipped(parts.filter(Boolean).join("  "), length);
}

// What Plotly shows on hover: the same text object for all points of a job.
const hoverText = (job) => `<b>${jobName(job)}</b> · ${forPlotly(job.outcome)}<br>${forPlotly(overridesText(job))}`;

// Where the values of an override stand on an axis: numbers, numbers over decades, or categories.
function scaleOf(values) {
  const there = values.filter((value) => value !== null);
  const numbers = there.filter(isNumber);
  if (numbers.length !== there.length || numbers.length === 0) return categories(values);
  const low = Math.min(...numbers);
  const high = Math.max(...numbers);
  return { kind: low > 0 && high / low >= 20 ? "log" : "linear", low, high, missing: there.length < values.length };
}

function categories(values) {
  const names = [...new Set(values.map(valueText))];
  return { kind: "category", names, place: new Map(names.map((name, i) => [name, i])) };
}
