// A task as a row of the list; what changes is changed in its place.
import { make, setText } from "./dom.js";
import { ago, isOver, moment, runTime } from "./format.js";
import { place, result, tone, word } from "./words.js";

const template = document.getElementById("row");

export function newRow(task) {
  const row = template.content.firstElementChild.cloneNode(true);
  row.id = `task-${task.taskId}`;
  row.querySelector("input").ariaLabel = `Select ${task.name ?? task.taskId}`;
  const link = row.querySelector(".task a");
  link.href = `/console/tasks/${encodeURIComponent(task.taskId)}`;
  link.textContent = task.name ?? task.taskId;
  if (task.name) row.querySelector("code").textContent = task.taskId;
  row.querySelector(".labels").append(...Object.entries(task.labels).map(labelLink));
  update(row, task);
  return row;
}

function labelLink([name, value]) {
  const text = value ? `${name}=${value}` : name;
  return make("a", { className: "label", textContent: text, title: text, href: `/console/?${new URLSearchParams({ label: `${name}=${value}` })}` });
}

export function update(row, task) {
  row.task = task;
  row.querySelector(".state").dataset.tone = tone(task);
  setText(row.querySelector(".state span"), word(task));
  setText(row.querySelector(".machine"), place(task));
  const time = row.querySelector("time");
  time.dateTime = task.createdAt;
  time.title = moment(task.createdAt);
  showResult(row.querySelector(".result"), task);
  tick(row);
}

function showResult(cell, task) {
  const progress = isOver(task) ? null : task.status?.progress;
  if (typeof progress !== "number") {
    setText(cell, result(task));
    cell.title = task.error ?? "";
    return;
  }
  const bar = cell.querySelector("progress") ?? make("progress", { max: 1, ariaLabel: "Progress" });
  if (!bar.isConnected) cell.replaceChildren(bar);
  bar.value = progress;
}

/** Bring what depends on the time of day up to date. */
export function tick(row) {
  setText(row.querySelector("time"), ago(row.task.createdAt));
  setText(row.querySelector(".time"), runTime(row.task));
}

/** Say that a task is not in the list any more: it was removed, or does not fit the filter. */
export function markAway(row, text) {
  row.classList.add("away");
  row.querySelector(".state").dataset.tone = "";
  setText(row.querySelector(".state span"), text);
}
