// What happened to one task, oldest first.
import { openJsonLines } from "./api.js";
import { make } from "./dom.js";
import { duration, moment } from "./format.js";
import { tone, word } from "./words.js";

export async function showEvents(panel, taskId) {
  const events = [];
  try {
    for await (const batch of await openJsonLines("/v1/events")) events.push(...batch.filter((event) => event.taskId === taskId));
  } catch (problem) {
    panel.replaceChildren(make("p", { className: "empty", textContent: problem.message }));
    return;
  }
  const rows = events.map((event, index) => row(event, events[index - 1]));
  const head = make("tr", {}, ...["What", "When", "After"].map((text) => make("th", { textContent: text, scope: "col" })));
  const table = make("table", { className: "list" }, make("thead", {}, head), make("tbody", {}, ...rows));
  panel.replaceChildren(make("div", { className: "sheet" }, events.length ? table : make("p", { className: "empty", textContent: "Its events are not kept any more." })));
}

function row(event, before) {
  const state = make("span", { className: "state", dataset: { tone: tone(event) } }, make("i", { className: "dot", ariaHidden: "true" }), word(event));
  const code = event.exitCode == null ? "" : ` exit code ${event.exitCode}`;
  const after = before ? duration((new Date(event.at) - new Date(before.at)) / 1000) : "";
  return make("tr", {}, make("td", {}, state, make("span", { className: "muted", textContent: code })), make("td", { textContent: moment(event.at) }), make("td", { textContent: after }));
}
