// The text of a line, with its ANSI colours (ECMA-48 SGR), as nodes.
import { make } from "../dom.js";

const ESCAPE = /\x1b(?:\[([0-?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[@-Z\\-_=><]|[()][0-9A-Za-z])/g;
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f]/g;
const FLAGS = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike" };
const RESETS = { 22: ["bold", "dim"], 23: ["italic"], 24: ["underline"], 27: ["inverse"], 29: ["strike"] };
const LEVELS = [0, 95, 135, 175, 215, 255];

const visible = (text) => text.replace(CONTROL, (c) => (c === "\x7f" ? "\u2421" : String.fromCodePoint(0x2400 + c.charCodeAt(0))));

/** Return what a terminal would show of a line in which parts were overwritten, as by a progress bar. */
function afterReturn(text) {
  const at = text.replace(/\r+$/, "").lastIndexOf("\r");
  return (at < 0 ? text : text.slice(at + 1)).replace(/\r+$/, "");
}

/** Return the nodes of a line. */
export function ansiNodes(raw) {
  const text = raw.includes("\r") ? afterReturn(raw) : raw;
  if (!text.includes("\x1b")) return [visible(text)];
  const nodes = [];
  let style = {};
  let begin = 0;
  for (const found of text.matchAll(ESCAPE)) {
    put(nodes, text.slice(begin, found.index), style);
    begin = found.index + found[0].length;
    if (found[2] === "m") style = changed(style, found[1]);
  }
  put(nodes, text.slice(begin), style);
  return nodes;
}

function put(nodes, text, style) {
  if (!text) return;
  const names = Object.entries(style).flatMap(([name, value]) => classOf(name, value));
  if (!names.length) return void nodes.push(visible(text));
  const node = make("s", { className: names.join(" "), textContent: visible(text) });
  if (typeof style.fore === "string") node.style.setProperty("--own", style.fore);
  if (typeof style.back === "string") node.style.setProperty("--c", style.back);
  nodes.push(node);
}

function classOf(name, value) {
  if (name === "fore") return typeof value === "string" ? ["own"] : [`f${value}`];
  if (name === "back") return typeof value === "string" ? ["back"] : ["back", `b${value}`];
  return value ? [name] : [];
}

function changed(before, codes) {
  let style = { ...before };
  const numbers = (codes || "0").split(/[;:]/).map(Number);
  while (numbers.length) {
    const code = numbers.shift();
    if (code === 0) style = {};
    else if (FLAGS[code]) style[FLAGS[code]] = true;
    else if (RESETS[code]) for (const name of RESETS[code]) delete style[name];
    else if (code === 38 || code === 48) style[code === 38 ? "fore" : "back"] = extended(numbers);
    else if (code === 39) delete style.fore;
    else if (code === 49) delete style.back;
    else colour(style, code);
  }
  return style;
}

function colour(style, code) {
  const [base, kind] = code >= 90 ? [code - 90, code - 60] : [code - 30, code];
  if (base >= 0 && base < 8) style.fore = base;
  else if (kind >= 40 && kind < 48) style.back = kind - 40;
}

/** Return a colour of 256, or of 16 million; the numbers that belong to it are taken. */
function extended(numbers) {
  const kind = numbers.shift();
  if (kind === 2) return `rgb(${numbers.splice(0, 3).map((n) => n & 255).join(" ")})`;
  const index = numbers.shift() & 255;
  if (index < 16) return index % 8;
  if (index >= 232) return `rgb(${Array(3).fill(8 + (index - 232) * 10).join(" ")})`;
  const cube = index - 16;
  return `rgb(${[cube / 36, (cube / 6) % 6, cube % 6].map((n) => LEVELS[Math.floor(n)]).join(" ")})`;
}
