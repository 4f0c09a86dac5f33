// Small tools: elements, and values as text. Whatever comes from a sweep reaches the page as text, never as markup.

const byId = (id) => document.getElementById(id);

// An element with its attributes, listeners (functions) and children (elements or text).
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Plotly reads a few HTML tags and entities in its labels.
const forPlotly = (text) =>
  String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/[\r\n\t]+/g, " ");

const clipped = (text, length) => {
  const letters = Array.from(String(text));
  return letters.length > length ? letters.slice(0, length - 1).join("") + "…" : letters.join("");
};

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

// JSON has no word for them, so they come as texts.
const NOT_FINITE = { NaN: NaN, Infinity: Infinity, "-Infinity": -Infinity };
const asNumber = (value) => (typeof value === "string" ? NOT_FINITE[value] : value);

function numberText(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  if (Number.isInteger(value) && Math.abs(value) < 1e7) return String(value);
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(digits - 1).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(value.toPrecision(digits)));
}

function valueText(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return numberText(value, 6);
  return String(value);
}

function durationText(seconds) {
  if (!isNumber(seconds)) return "–";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  const hours = Math.floor(whole / 3600);
  if (hours < 48) return `${hours} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const timeText = (seconds) => (isNumber(seconds) ? TIME.format(seconds * 1000) : "–");

const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

// A text with a button that copies it.
function copyable(text, name) {
  const button = make("button", { type: "button", "aria-label": `Copy ${name}`, click: () => copy(text, button) }, "Copy");
  return make("div", { class: "copy" }, make("code", {}, text), button);
}

async function copy(text, button) {
  let done = false;
  try {
    await navigator.clipboard.writeText(text);
    done = true;
  } catch {
    done = copyBySelection(text); // browsers that give a file no clipboard
  }
  button.textContent = done ? "Copied" : "Press Ctrl+C";
  button.classList.toggle("copied", done);
  setTimeout(() => {
    button.textContent = "Copy";
    button.classList.remove("copied");
  }, 1600);
}

function copyBySelection(text) {
  const area = make("textarea", { "aria-hidden": "true", style: "position:fixed;opacity:0" });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}
