// The table of jobs: sorted by any column, a page at a time.

const PAGE_ROWS = 50;
const SHOWN_METRICS = 5;
const table = { sort: null, up: true, page: 0, hidden: new Set() };

const COLUMNS = [
  { id: "job", name: "job", number: false, get: (job) => job.number },
  { id: "outcome", name: "outcome", get: (job) => job.outcome },
  ...KEYS.map((key, i) => ({ id: `key ${key}`, name: key, get: (job) => job.varying[i] })),
  ...METRICS.map((metric, i) => ({ id: `metric ${i}`, name: metric.name, metric: i, number: true, get: (job) => job.metrics[i] })),
  { id: "duration", name: "duration", number: true, get: (job) => job.duration, text: durationText },
  { id: "attempts", name: "attempts", number: true, get: (job) => job.attempts.length || null },
  { id: "checkpoint", name: "checkpoint", get: (job) => job.checkpoint, text: (path) => (path ? path.split("/").pop() : "–") },
];
for (const column of COLUMNS) {
  column.number ??= JOBS.every((job) => column.get(job) === null || typeof column.get(job) === "number");
  if (column.metric >= SHOWN_METRICS || column.id === "checkpoint") table.hidden.add(column.id);
}
if (JOBS.every((job) => job.attempts.length < 2)) table.hidden.add("attempts");

function startTable() {
  byId("columns").append(
    ...COLUMNS.slice(1).map((column) => {
      const box = make("input", { type: "checkbox", change: () => toggleColumn(column, box.checked) });
      box.checked = !table.hidden.has(column.id);
      return make("label", { class: "check" }, box, column.name);
    }),
  );
  byId("previous").addEventListener("click", () => turnPage(-1));
  byId("next").addEventListener("click", () => turnPage(1));
  document.addEventListener("click", (event) => {
    const menu = document.querySelector(".menu");
    if (!menu.contains(event.target)) menu.open = false;
  });
}

function toggleColumn(column, isShown) {
  if (isShown) table.hidden.delete(column.id);
  else table.hidden.add(column.id);
  redraw("jobs");
}

function turnPage(by) {
  table.page += by;
  redraw("jobs");
  document.querySelector("#jobs .wide").scrollTop = 0;
}

function sortBy(column) {
  const again = table.sort === column.id;
  table.up = again ? !table.up : column.metric === undefined || METRICS[column.metric].mode !== "max";
  table.sort = column.id;
  table.page = 0;
  redraw("jobs");
}

// Numbers before texts, and what is missing last, whichever way it is sorted.
function sorted(jobs) {
  const column = COLUMNS.find((one) => one.id === table.sort);
  if (!column) return jobs;
  const rank = (value) => (value === null || value === undefined || Number.isNaN(value) ? 2 : typeof value === "number" ? 0 : 1);
  const compare = (a, b) => (typeof a === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true }));
  return jobs
    .map((job) => ({ job, value: column.get(job), rank: rank(column.get(job)) }))
    .sort((a, b) => a.rank - b.rank || (a.rank < 2 ? (table.up ? 1 : -1) * compare(a.value, b.value) : 0) || a.job.number - b.job.number)
    .map((one) => one.job);
}

// At first the best are on top.
function sortByMetric() {
  table.sort = chosen.metric < 0 ? "job" : `metric ${chosen.metric}`;
  table.up = chosen.metric < 0 || chosen.mode !== "max";
  table.page = 0;
  table.hidden.delete(table.sort);
}

function drawTable(section) {
  const jobs = sorted(shownJobs());
  table.page = Math.max(0, Math.min(table.page, Math.ceil(jobs.length / PAGE_ROWS) - 1));
  const start = table.page * PAGE_ROWS;
  const columns = COLUMNS.filter((column) => !table.hidden.has(column.id));
  const best = bestJob();
  byId("table").tHead.replaceChildren(make("tr", {}, ...columns.map(headCell)));
  byId("table").tBodies[0].replaceChildren(...jobs.slice(start, start + PAGE_ROWS).map((job) => tableRow(job, columns, job === best)));
  byId("range").textContent = jobs.length === 0 ? "" : `${start + 1}–${Math.min(start + PAGE_ROWS, jobs.length)} of ${jobs.length.toLocaleString("en")}`;
  byId("previous").disabled = table.page === 0;
  byId("next").disabled = start + PAGE_ROWS >= jobs.length;
  section.querySelector(".pager").hidden = jobs.length <= PAGE_ROWS;
  section.querySelector(".empty").hidden = jobs.length > 0;
  section.querySelector(".empty").textContent = "No job passes the filter.";
}

function headCell(column) {
  const sort = column.id === table.sort ? (table.up ? "ascending" : "descending") : null;
  const button = make("button", { type: "button", title: column.name, click: () => sortBy(column) }, clipped(column.name, 26));
  return make("th", { scope: "col", class: column.number ? "number" : null, "aria-sort": sort }, button);
}

function markInTable() {
  for (const row of byId("table").tBodies[0].rows) row.classList.toggle("picked", Number(row.dataset.index) === chosen.job);
}

const dot = (outcome) => make("i", { class: "dot", style: `--tint: var(--${outcomeVariable(outcome)})`, "aria-hidden": "true" });

function tableRow(job, columns, isBest) {
  const kind = [isBest ? "best" : "", job.index === chosen.job ? "picked" : ""].join(" ").trim();
  const cells = columns.map((column) => {
    const value = column.get(job);
    if (column.id === "job") {
      const button = make("button", { type: "button", class: "open", "aria-label": `Open ${jobName(job)}` }, String(job.number));
      return make("td", {}, button, isBest ? make("span", { class: "star" }, "best") : null);
    }
    if (column.id === "outcome") {
      return make("td", {}, make("span", { class: "badge", title: job.reason || null }, dot(job.outcome), job.outcome));
    }
    const text = column.text ? column.text(value) : column.metric === undefined ? valueText(value) : numberText(value);
    const isNone = value === null || value === undefined;
    return make("td", { class: [column.number ? "number" : "", isNone ? "none" : ""].join(" ").trim() || null, title: text.length > 30 ? text : null }, text);
  });
  return make("tr", { class: kind || null, "data-job": job.number, "data-index": job.index, click: () => openJob(job) }, ...cells);
}
