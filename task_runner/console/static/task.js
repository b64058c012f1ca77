// One task: what it is doing and why, and its tabs.
import { act } from "./actions.js";
import { call, taskPath } from "./api.js";
import { back, lost } from "./connection.js";
import { showCommands } from "./commands.js";
import { showDetails, showFacts } from "./details.js";
import { showTexts } from "./dialog.js";
import { byId, pause, setText } from "./dom.js";
import { watchEvents } from "./events.js";
import { isOver } from "./format.js";
import { LogPanel } from "./log/panel.js";
import { connectTabs } from "./tabs.js";
import { showEvents } from "./task_events.js";
import { showFiles } from "./task_files.js";
import { tone, why, word } from "./words.js";

const LOOK = 2000; // milliseconds between two looks at a task that is under way: progress, heartbeat
const taskId = byId("task").dataset.task;
let task = null;
let wake = () => {};

function show() {
  const badge = byId("state");
  badge.dataset.tone = tone(task);
  setText(badge.lastElementChild, word(task));
  setText(byId("title"), task.name ?? taskId);
  document.title = `${word(task)} · ${task.name ?? taskId}`;
  setText(byId("why"), why(task));
  showProgress();
  showFacts(byId("facts"), task);
  byId("actions").hidden = false;
  byId("actions").querySelector('[data-verb="stop"]').hidden = isOver(task) || task.state === "stopping";
  byId("actions").querySelector('[data-verb="remove"]').hidden = !isOver(task);
  byId("stream").hidden = task.stderr !== "separate";
  if (!byId("details").hidden) showDetails(byId("details"), task);
}

function showProgress() {
  const { progress } = task.status ?? {};
  byId("progress").hidden = typeof progress !== "number" || isOver(task);
  if (typeof progress === "number") byId("progress").value = progress;
}

async function look() {
  try {
    task = await call(taskPath(taskId));
    back("task");
    show();
  } catch (problem) {
    if (problem.status === 404) showGone(problem);
    else lost("task");
  }
}

function showGone(problem) {
  task = task && { ...task, state: "removed", outcome: null };
  setText(byId("why"), task ? "It was removed, with its log and its files." : `${problem.message}.`);
  const badge = byId("state");
  badge.dataset.tone = "";
  setText(badge.lastElementChild, task ? "removed" : "not found");
  byId("actions").hidden = true;
}

/** Look at the task when something happens to it, and now and then while it is under way. */
async function keepFresh() {
  const isDone = () => task && (isOver(task) || task.state === "removed");
  for (;;) {
    await look();
    const woken = new Promise((resolve) => (wake = resolve));
    await (document.hidden || isDone() ? woken : Promise.race([woken, pause(LOOK)]));
  }
}

async function onAction(event) {
  const { verb } = event.target.dataset;
  if (!verb) return;
  event.target.disabled = true;
  try {
    const done = await act(verb, taskId);
    if (verb === "rerun") location.assign(`/console/tasks/${encodeURIComponent(done.taskId)}`);
    if (verb === "remove" && done) location.assign("/console/");
  } catch (problem) {
    showTexts("That did not work", {}, problem.message);
  } finally {
    event.target.disabled = false;
    wake();
  }
}

const panels = {
  log: () => log.resized(),
  details: () => task && showDetails(byId("details"), task),
  events: () => showEvents(byId("events"), taskId),
  files: () => showFiles(byId("files"), taskId),
};

byId("actions").addEventListener("click", onAction);
byId("copy").addEventListener("click", () => showCommands(task));
watchEvents((events) => {
  if (events && !events.some((event) => event.taskId === taskId)) return;
  wake();
  if (!byId("events").hidden) showEvents(byId("events"), taskId);
});
addEventListener("visibilitychange", () => wake());
setInterval(() => task && !isOver(task) && !document.hidden && setText(byId("why"), why(task)), 1000);

const log = new LogPanel(taskId);
connectTabs((name) => panels[name]());
log.open();
keepFresh();
