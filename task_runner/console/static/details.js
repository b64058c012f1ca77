// What is known of a task, as names and values.
import { make, setText } from "./dom.js";
import { bytes, duration, isOver, moment, runTime, shortMoment } from "./format.js";

/** Show the facts one looks for first; a value that changes is changed in its place. */
export function showFacts(list, task) {
  const facts = {
    ID: task.taskId,
    Machine: task.machine,
    Environment: task.environment,
    Isolation: task.isolation,
    Created: shortMoment(task.createdAt),
    Started: task.startedAt && shortMoment(task.startedAt),
    Finished: task.finishedAt && shortMoment(task.finishedAt),
    Time: runTime(task),
    "Exit code": task.exitCode ?? (isOver(task) ? "unknown" : null),
    Signal: task.signal,
    "Time limit": task.timeout && duration(task.timeout),
    "Rerun of": task.rerunOf,
  };
  for (const [name, value] of Object.entries(facts)) put(list, name, value);
}

function put(list, name, value) {
  const id = `fact-${name.replace(" ", "-")}`;
  const known = document.getElementById(id);
  if (value == null || value === "") return known?.remove();
  if (known) return setText(known.lastElementChild, String(value));
  return list.append(make("div", { id }, make("dt", { textContent: name }), make("dd", { textContent: value })));
}

/** Show everything. */
export function showDetails(panel, task) {
  const asked = { Parameters: task.parameters, Variables: task.env?.length ? `${task.env.join(", ")} (values are not shown)` : null, Labels: task.labels, Name: task.name, Priority: task.priority, "Time limit": task.timeout && duration(task.timeout), "Grace period": duration(task.gracePeriod), Limits: task.limits, "Most output": task.outputLimit && bytes(task.outputLimit), "Standard error": task.stderr === "separate" ? "a log of its own" : null, "Environment options": task.environmentOptions, "Isolation options": task.isolationOptions, Resources: task.resources };
  const found = { State: task.state, Outcome: task.outcome, "Exit code": task.exitCode, "Return code": task.returnCode, Signal: task.signal, Error: task.error, Stop: task.stop && `${task.stop.reason}, ${moment(task.stop.at)}`, Status: task.status, "In the environment": task.environmentStatus, Output: written(task.outputSize, task.outputDropped), "Output of standard error": written(task.stderrSize, task.stderrDropped), Usage: task.usage && usage(task.usage), "Process of the TaskRunner": task.processId, "Heard of": task.updatedAt && moment(task.updatedAt) };
  panel.replaceChildren(make("div", { className: "sheet" }, pairs(found), pairs(asked)));
}

/** Say how much of an output is kept, and how much is not; the size is known at the end. */
function written(size, dropped) {
  const missing = dropped ? `${bytes(dropped)} more were dropped` : null;
  return [size == null ? null : bytes(size), missing].filter(Boolean).join("; ") || null;
}

const usage = ({ userSeconds, systemSeconds, maxRssBytes }) =>
  `${duration(userSeconds)} user, ${duration(systemSeconds)} system, ${bytes(maxRssBytes)} of memory at most`;

/** Make a list of names and values; what is empty is left out. */
export function pairs(values) {
  const list = make("dl", { className: "pairs" });
  for (const [name, value] of Object.entries(values)) {
    if (value == null || value === "" || (typeof value === "object" && !Object.keys(value).length)) continue;
    list.append(make("dt", { textContent: name }), make("dd", {}, valueNode(value)));
  }
  return list;
}

function valueNode(value) {
  if (typeof value !== "object") return String(value).includes("\n") ? make("pre", { textContent: value }) : String(value);
  if (!Array.isArray(value)) return pairs(value);
  const isLines = value.every((one) => typeof one === "string");
  return make("pre", { textContent: isLines ? value.join("\n") : JSON.stringify(value, null, 2) });
}
