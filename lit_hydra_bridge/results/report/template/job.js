// One job: what it was given, what came of it, how it differs from the best, and how to run it again.

let openedFrom = null;

function openJob(job) {
  if (byId("job").hidden) openedFrom = document.activeElement;
  chosen.job = job.index;
  showJob();
  byId("job").hidden = false;
  byId("job").scrollTop = 0;
  byId("job-title").focus({ preventScroll: true });
  markJob();
}

// Where the job that is open stands out.
function markJob() {
  redraw("curves");
  markInTable();
  markInTimeline();
}

function closeJob() {
  if (byId("job").hidden) return;
  byId("job").hidden = true;
  chosen.job = null;
  openedFrom?.focus?.({ preventScroll: true });
  markJob();
}

function startJob() {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") closeJob();
  });
}

function showJob() {
  const job = JOBS[chosen.job];
  const best = bestJob();
  byId("job").replaceChildren(
    make("div", { class: "top-line" },
      make("h2", { id: "job-title", tabindex: "-1" }, `Job ${job.number}`),
      make("button", { type: "button", class: "quiet", click: closeJob }, "Close")),
    factsOf(job, best),
    job.reason ? make("pre", { class: "reason" }, job.reason) : "",
    ...commands(job),
    ...overrideList(job),
    ...metricList(job, best),
    ...differences(job, best),
    ...attemptList(job),
  );
}

const pair = (name, value) => [make("dt", {}, name), make("dd", {}, value)];

function factsOf(job, best) {
  const facts = [
    ...pair("outcome", make("span", { class: "badge" }, dot(job.outcome), job.outcome + (job === best ? " · the best job" : "") + (job.differs ? ` · ${job.differs} changed since` : ""))),
    ...pair("took", durationText(job.duration)),
    ...(isNumber(job.started) ? pair("started", timeText(job.started)) : []),
    ...pair("folder", job.folder),
  ];
  return make("dl", { class: "pairs" }, ...facts);
}

function commands(job) {
  const again = job.commands.flatMap(([what, command]) => [make("h3", {}, what), copyable(command, "the command")]);
  return job.checkpoint ? [...again, make("h3", {}, "Checkpoint"), copyable(job.checkpoint, "the checkpoint's path")] : again;
}

function overrideList(job) {
  if (job.overrides.length === 0) return [];
  return [make("h3", {}, "Overrides"), make("div", { class: "chips" }, ...job.overrides.map((text) => make("span", { class: "chip" }, text)))];
}

function metricList(job, best) {
  const there = METRICS.map((metric, i) => [metric.name, job.metrics[i], best?.metrics[i]]).filter(([, value]) => value !== null && value !== undefined);
  if (there.length === 0) return [];
  const note = (value, other) => (job === best || !isNumber(other) || value === other ? "" : `  (best job: ${numberText(other)})`);
  const pairs = there.flatMap(([name, value, other]) => pair(name, numberText(value, 6) + note(value, other)));
  return [make("h3", {}, "Metrics"), make("dl", { class: "pairs" }, ...pairs)];
}

function differences(job, best) {
  const title = make("h3", {}, "Config, beside the best job's");
  if (best === null || job === best) return [];
  const { keys, texts, jobs } = DATA.configs;
  const [own, other] = [jobs[job.index], jobs[best.index]];
  if (!own || !other) return [title, make("p", { class: "hint" }, `The config of ${jobName(own ? best : job)} can't be read.`)];
  const changed = keys.map((key, i) => [key, other[i], own[i]]).filter(([, a, b]) => a !== b);
  if (changed.length === 0) return [title, make("p", { class: "hint" }, `No difference to ${jobName(best)}.`)];
  const text = (index) => (index < 0 ? "–" : texts[index]);
  const rows = changed.map(([key, a, b]) => make("tr", {}, make("td", {}, key), make("td", {}, text(a)), make("td", {}, text(b))));
  const head = make("tr", {}, ...["key", `${jobName(best)}, the best`, jobName(job)].map((name) => make("th", { scope: "col" }, name)));
  return [title, make("table", { class: "changes" }, make("thead", {}, head), make("tbody", {}, ...rows))];
}

function attemptList(job) {
  if (job.attempts.length < 2) return [];
  const lines = job.attempts.flatMap((one, i) =>
    pair(`attempt ${i + 1}`, `${one.outcome}, ${durationText(one.ended - one.started)} on ${DATA.lanes[one.lane]}${one.reason ? `: ${one.reason}` : ""}`));
  return [make("h3", {}, "Attempts"), make("dl", { class: "pairs" }, ...lines)];
}
