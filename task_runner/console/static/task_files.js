// What a task has left in its directory.
import { call, taskPath } from "./api.js";
import { make } from "./dom.js";
import { bytes, moment } from "./format.js";

export async function showFiles(panel, taskId) {
  const path = `${taskPath(taskId)}/files`;
  try {
    const files = await call(path);
    panel.replaceChildren(...(files.length ? [table(path, files), foot(taskId)] : [empty("The task has left no files.")]));
  } catch (problem) {
    panel.replaceChildren(empty(problem.message));
  }
}

const empty = (text) => make("div", { className: "sheet" }, make("p", { className: "empty", textContent: text }));

function table(path, files) {
  const head = make("tr", {}, make("th", { scope: "col", textContent: "File" }), make("th", { scope: "col", className: "number", textContent: "Size" }), make("th", { scope: "col", textContent: "Changed" }));
  const rows = files.map((file) => {
    const name = file.path ?? file.name;
    const link = make("a", { href: `${path}/${name.split("/").map(encodeURIComponent).join("/")}`, download: name.split("/").at(-1), className: "mono", textContent: name });
    return make("tr", {}, make("td", {}, link), make("td", { className: "number", textContent: bytes(file.size) }), make("td", { className: "muted", textContent: moment(file.modifiedAt) }));
  });
  return make("div", { className: "sheet" }, make("table", { className: "list" }, make("thead", {}, head), make("tbody", {}, ...rows)));
}

const foot = (taskId) => make("p", { className: "foot" }, make("a", { className: "button", href: `${taskPath(taskId)}/files.tar.gz`, textContent: "All as .tar.gz" }));
