// What a task has left in its directory.
import { call, taskPath } from "./api.js";
import { make } from "./dom.js";
import { bytes, moment } from "./format.js";

const MOST = 1000;

export async function showFiles(panel, taskId) {
  try {
    const files = await call(`${taskPath(taskId)}/files?limit=${MOST}`);
    const note = files.length < MOST ? "" : `These are the first ${MOST}; the archive has all.`;
    panel.replaceChildren(...(files.length ? [table(files), foot(taskId, note)] : [empty("The task has left no files.")]));
  } catch (problem) {
    panel.replaceChildren(empty(problem.message));
  }
}

const empty = (text) => make("div", { className: "sheet" }, make("p", { className: "empty", textContent: text }));

function table(files) {
  const head = make("tr", {}, make("th", { scope: "col", textContent: "File" }), make("th", { scope: "col", className: "number", textContent: "Size" }), make("th", { scope: "col", textContent: "Changed" }));
  return make("div", { className: "sheet" }, make("table", { className: "list" }, make("thead", {}, head), make("tbody", {}, ...files.map(row))));
}

function row({ path, type, size, modifiedAt, href }) {
  const name = href ? make("a", { href, className: "mono", textContent: path }) : make("span", { className: "mono muted", textContent: type === "directory" ? `${path}/` : `${path} (${type})` });
  return make("tr", {}, make("td", {}, name), make("td", { className: "number", textContent: href ? bytes(size) : "" }), make("td", { className: "muted", textContent: moment(modifiedAt) }));
}

const foot = (taskId, note) => make("p", { className: "foot" }, make("span", { className: "muted", textContent: note }), make("a", { className: "button", href: `${taskPath(taskId)}/files.tar.gz`, textContent: "All as .tar.gz" }));
