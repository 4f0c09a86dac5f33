// The page as a whole: its head, its summary, its controls and its theme.

function showHead() {
  const { name, folder, launcher, created, version } = DATA.sweep;
  byId("name").textContent = name;
  const facts = [plural(JOBS.length, "job"), launcher && `launched by ${launcher}`, isNumber(DATA.time.started) && timeText(DATA.time.started)];
  byId("facts").textContent = facts.filter(Boolean).join(" · ");
  byId("footer").textContent = `${folder} as of ${timeText(created)} · lit-hydra report, version ${version}`;
}

function showNotes() {
  byId("notes").hidden = DATA.notes.length === 0;
  byId("notes").querySelector("summary").textContent = `Read as far as possible; ${plural(DATA.notes.length, "note")}`;
  byId("notes").querySelector("ul").replaceChildren(...DATA.notes.map((note) => make("li", {}, note)));
}

const tile = (kind, title, ...children) => make("div", { class: `tile ${kind}` }, make("h2", {}, title), ...children);

function drawSummary(section) {
  const { command } = DATA.sweep;
  section.replaceChildren(
    bestTile(),
    jobsTile(),
    timeTile(),
    ...(command ? [tile("all", "The sweep's command", copyable(command, "the sweep's command"))] : []),
  );
}

function bestTile() {
  const best = bestJob();
  if (best === null) {
    return tile("main", "Best job", make("p", { class: "under" }, whyNoBest()));
  }
  const open = make("button", { type: "button", class: "quiet", click: () => openJob(best) }, `Open ${jobName(best)}`);
  const end = chosen.mode === "max" ? "highest" : "lowest";
  const chips = KEYS.map((key, i) => (best.varying[i] === null ? null : make("span", { class: "chip" }, `${key}=${valueText(best.varying[i])}`)));
  return tile("main", "Best job",
    make("div", { class: "top-line" },
      make("p", { class: "big" }, numberText(valueOf(best), 5), make("small", {}, `${end} ${metricName()}`)), open),
    make("div", { class: "chips" }, ...chips),
    best.checkpoint ? copyable(best.checkpoint, "the best checkpoint's path") : make("p", { class: "under" }, "It has no checkpoint."));
}

function whyNoBest() {
  if (chosen.metric < 0) return "No job has a metric yet.";
  if (!JOBS.some(hasValue)) return `No job has a finite ${metricName()}.`;
  return `Nothing says whether a low or a high ${metricName()} is good. Choose "lowest" or "highest" below.`;
}

function jobsTile() {
  const counts = OUTCOMES.map((outcome) => [outcome, JOBS.filter((job) => outcomeVariable(job.outcome) === outcomeVariable(outcome)).length]);
  const there = counts.filter(([, count]) => count > 0);
  return tile("", "Jobs",
    make("p", { class: "big" }, JOBS.length.toLocaleString("en")),
    make("div", { class: "bar", "aria-hidden": "true" }, ...there.map(([outcome, count]) => make("i", { style: `flex: ${count}; --tint: var(--${outcomeVariable(outcome)})` }))),
    make("div", { class: "counts" }, ...there.map(([outcome, count]) => make("span", {}, dot(outcome), `${count.toLocaleString("en")} ${outcome}`))));
}

function timeTile() {
  const { span, busy, slots, utilisation, attempts } = DATA.time;
  if (!isNumber(span)) return tile("", "Time", make("p", { class: "under" }, "Nothing says when these jobs ran."));
  const more = attempts > JOBS.length ? `, ${plural(attempts, "attempt")}` : "";
  return tile("", DATA.sweep.running ? "Time, up to now" : "Time",
    make("p", { class: "big" }, durationText(span)),
    make("div", { class: "bar", "aria-hidden": "true" }, make("i", { style: `flex: ${utilisation}; --tint: var(--completed)` }), make("span", { style: `flex: ${1 - utilisation}` })),
    make("p", { class: "under" }, `${plural(slots, "slot")} busy ${Math.round(utilisation * 100)} % of it; ${durationText(busy)} of jobs in all${more}`));
}

// --- controls

function showChoice() {
  byId("metric").value = String(chosen.metric);
  for (const button of document.querySelectorAll("[data-mode]")) button.setAttribute("aria-pressed", String(button.dataset.mode === chosen.mode));
  for (const legend of document.querySelectorAll(".legend:not(.outcomes)")) legend.hidden = chosen.mode === null;
  const count = shownJobs().length;
  byId("shown").textContent = count === JOBS.length ? plural(count, "job") : `${count.toLocaleString("en")} of ${plural(JOBS.length, "job")}`;
  byId("clear").hidden = chosen.filter === "" && chosen.brushed === null;
  byId("filter").setAttribute("aria-invalid", String(!isUnderstood(chosen.filter)));
}

function choose(changes) {
  Object.assign(chosen, changes);
  forgetBrush();
  if ("metric" in changes || "mode" in changes) sortByMetric();
  followMetric();
  showChoice();
  if (chosen.job !== null) showJob();
  table.page = 0;
  redraw();
}

function startControls() {
  METRICS.forEach((metric, i) => byId("metric").append(make("option", { value: i }, metric.name)));
  byId("metric").disabled = METRICS.length === 0;
  byId("metric").addEventListener("change", (event) => {
    const metric = Number(event.target.value);
    choose({ metric, mode: METRICS[metric].mode });
  });
  for (const button of document.querySelectorAll("[data-mode]")) button.addEventListener("click", () => choose({ mode: button.dataset.mode }));
  const example = KEYS.length > 0 ? `${KEYS[0]}=${valueText(JOBS[0].varying[0])}` : "outcome=failed";
  byId("filter").placeholder = `such as  ${clipped(example, 40)}  outcome=completed`;
  let waiting = 0;
  byId("filter").addEventListener("input", (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => choose({ filter: event.target.value }), JOBS.length > 300 ? 250 : 80);
  });
  byId("clear").addEventListener("click", () => {
    byId("filter").value = "";
    choose({ filter: "" });
  });
}

// --- theme: the system's, until the reader says otherwise

const systemTheme = matchMedia("(prefers-color-scheme: dark)");
let ownTheme = null;
try {
  ownTheme = localStorage.getItem("lit-hydra report theme");
} catch {
  // a browser may keep no notes for files
}

function showTheme() {
  const theme = ownTheme ?? (systemTheme.matches ? "dark" : "light");
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", `Switch to the ${theme === "dark" ? "light" : "dark"} theme`);
}

function startTheme() {
  byId("theme").addEventListener("click", () => {
    ownTheme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("lit-hydra report theme", ownTheme);
    } catch {
      // it holds for this visit
    }
    showTheme();
    redraw();
  });
  systemTheme.addEventListener("change", () => {
    showTheme();
    redraw();
  });
  showTheme();
}

startTheme();
showHead();
showNotes();
startControls();
startCurves();
startTable();
startJob();
sortByMetric();
followMetric();
showChoice();
addPart("summary", drawSummary);
addPart("parallel", drawParallel);
addPart("effects", drawEffects);
addPart("curves", drawCurves);
addPart("jobs", drawTable);
addPart("timeline", drawTimeline);
addEventListener("beforeprint", () => parts.forEach((part) => part.stale && drawPart(part)));
