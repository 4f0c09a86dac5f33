// The filter's words: `lr>0.01 outcome=completed cnn`, all of which must hold.

const TERM = /^(?<key>[^<>=!~]+)(?<sign><=|>=|!=|==|=|<|>|~)(?<value>.*)$/;
const SIGNS = {
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
};

function words(text) {
  const found = text.match(/(?:"[^"]*"|'[^']*'|[^\s"']+|["'])+/g) ?? [];
  return found.map((word) => word.replace(/"([^"]*)"|'([^']*)'/g, "$1$2")).filter((word) => word.toLowerCase() !== "and");
}

// `lr > 0.1` is one term.
const joined = (text) => text.replace(/\s*(<=|>=|!=|==|=|<|>|~)\s*/g, "$1");

// What a job has under a name: one of its facts, a metric, an override, or the last part of an override's key.
function lookUp(name) {
  const facts = {
    job: (job) => job.number,
    number: (job) => job.number,
    outcome: (job) => job.outcome,
    attempts: (job) => job.attempts.length,
    duration: (job) => job.duration,
    duration_s: (job) => job.duration,
    value: (job) => job.metrics[METRICS.findIndex((one) => one.name === "return value")] ?? null,
  };
  const key = KEYS.indexOf(name);
  if (key >= 0) return (job) => job.varying[key];
  const metric = METRICS.findIndex((one) => one.name === name || one.name === name.replace(/_/g, " "));
  if (metric >= 0) return (job) => job.metrics[metric];
  if (Object.hasOwn(facts, name)) return facts[name];
  const ends = KEYS.filter((one) => one.endsWith(`.${name}`) || one.endsWith(`/${name}`));
  return ends.length === 1 ? (job) => job.varying[KEYS.indexOf(ends[0])] : null;
}

function term(word) {
  const parts = TERM.exec(word)?.groups;
  const get = parts && lookUp(parts.key.trim());
  if (!get) return { known: !parts, test: (job) => searchText(job).includes(word.toLowerCase()) };
  const { sign, value } = parts;
  const number = Number(value);
  const isNumeric = value.trim() !== "" && !Number.isNaN(number);
  if (SIGNS[sign]) {
    return { known: isNumeric, test: (job) => isNumber(get(job)) && SIGNS[sign](get(job), number) };
  }
  const text = value.toLowerCase();
  const same = (job) => {
    const own = get(job);
    if (isNumeric && typeof own === "number") return own === number;
    return String(own ?? "null").toLowerCase() === text;
  };
  const tests = { "!=": (job) => !same(job), "~": (job) => String(get(job) ?? "").toLowerCase().includes(text) };
  return { known: true, test: tests[sign] ?? same };
}

const searchText = (job) =>
  (job.searched ??= [jobName(job), job.outcome, ...job.overrides, job.reason].join("\n").toLowerCase());

function matcher(text) {
  const terms = words(joined(text)).map(term);
  return (job) => terms.every((one) => one.test(job));
}

const isUnderstood = (text) => words(joined(text)).every((word) => term(word).known);
