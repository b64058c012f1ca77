// The list of tasks: filters, live rows, several at a time.
import { actOnAll } from "./actions.js";
import { call, request, taskPath } from "./api.js";
import { back, lost } from "./connection.js";
import { byId, pause, setText } from "./dom.js";
import { watchEvents } from "./events.js";
import { count, plural } from "./format.js";
import { onKeys } from "./keys.js";
import { markAway, newRow, tick, update } from "./rows.js";

const PAGE = 100;
const REFRESH_PAUSE = 500;
const RETRY_PAUSE = 2000;

const rows = byId("rows");
const form = byId("filter");
const chips = [...document.querySelectorAll(".chip")];
const chosen = new Set();
const gone = new Set();
const changed = new Set();
let next = null;
let fresh = [];
let isStale = false;
let wake = () => {};

// --- the filter, which lives in the address ---

const filter = () => new URLSearchParams(location.search);

function showFilter() {
  const query = filter();
  for (const chip of chips) chip.ariaPressed = String(query.getAll("state").includes(chip.dataset.state));
  for (const name of ["label", "machine", "since"]) form.elements[name].value = query.get(name) ?? "";
}

function setFilter() {
  const query = new URLSearchParams();
  for (const chip of chips) if (chip.ariaPressed === "true") query.append("state", chip.dataset.state);
  for (const name of ["label", "machine", "since"]) {
    const value = form.elements[name].value.trim();
    if (value) query.set(name, value);
  }
  const search = query.toString();
  history.pushState(null, "", search ? `?${search}` : location.pathname);
  load();
}

function listPath() {
  const query = filter();
  const minutes = Number(query.get("since"));
  if (minutes) query.set("since", new Date(Date.now() - minutes * 60000).toISOString());
  else query.delete("since");
  query.set("view", "full");
  query.set("order", "desc");
  query.set("limit", PAGE);
  return `/v1/tasks?${query}`;
}

async function find(event) {
  event.preventDefault();
  const text = form.elements.label.value.trim();
  if (/^[\w.-]{1,64}$/.test(text)) {
    const task = await call(taskPath(text)).catch(() => null);
    if (task) return location.assign(`/console/tasks/${text}`);
  }
  return setFilter();
}

// --- the rows ---

const rowOf = (taskId) => byId(`task-${taskId}`);

async function page(path) {
  const answer = await request(path);
  const link = /<([^>]+)>; rel="next"/.exec(answer.headers.get("link") ?? "");
  return { tasks: await answer.json(), next: link?.[1] ?? null };
}

async function load() {
  const found = await tried(() => page(listPath()));
  if (!found) return;
  next = found.next;
  fresh = [];
  gone.clear();
  chosen.clear();
  rows.replaceChildren(...found.tasks.map(newRow));
  showAll();
}

async function loadOlder() {
  const found = await tried(() => page(next));
  if (!found) return;
  next = found.next;
  rows.append(...found.tasks.filter((task) => !rowOf(task.taskId)).map(newRow));
  showAll();
}

/** Ask again: rows are updated where they are, new ones announced. */
async function refresh() {
  const dirty = [...changed];
  changed.clear();
  const found = await tried(() => page(listPath()));
  if (!found) return;
  if (!rows.children.length) next = found.next;
  const listed = new Set(found.tasks.map((task) => task.taskId));
  for (const task of found.tasks) refreshOne(task);
  fresh = fresh.filter((task) => listed.has(task.taskId) || !gone.has(task.taskId));
  for (const taskId of dirty) if (!listed.has(taskId) && rowOf(taskId)) await refreshAlone(taskId);
  if (!rows.children.length) showFresh();
  showAll();
}

function refreshOne(task) {
  const row = rowOf(task.taskId);
  if (row) return update(row, task);
  if (rows.children.length && task.createdAt < rows.lastElementChild.task.createdAt) return null;
  const known = fresh.findIndex((one) => one.taskId === task.taskId);
  if (known >= 0) fresh[known] = task;
  else fresh.push(task);
  return null;
}

async function refreshAlone(taskId) {
  const row = rowOf(taskId);
  const task = await call(taskPath(taskId)).catch((problem) => (problem.status === 404 ? null : row.task));
  if (task) update(row, task);
  else markAway(row, "removed");
}

function showFresh() {
  fresh.sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1));
  for (const task of fresh) if (!rowOf(task.taskId)) rows.prepend(newRow(task));
  fresh = [];
}

function showAll() {
  const number = rows.children.length;
  byId("empty").hidden = number > 0;
  setText(byId("empty"), location.search ? "No task fits this filter." : "There is no task yet.");
  setText(byId("count"), number ? `${plural(number, "task")} shown${next ? "" : ", these are all"}` : "");
  byId("older").hidden = !next;
  byId("news").hidden = !fresh.length;
  setText(byId("news"), `${plural(fresh.length, "new task")} ↑`);
  showChosen();
}

async function showCounts() {
  const node = await tried(() => call("/v1/system"));
  if (!node) return;
  for (const chip of chips) setText(chip.querySelector("b"), count(node.tasks[chip.dataset.state] ?? 0));
}

// --- several at a time ---

function choose(row, on) {
  row.classList.toggle("chosen", on);
  row.querySelector("input").checked = on;
  if (on) chosen.add(row.task.taskId);
  else chosen.delete(row.task.taskId);
}

function showChosen() {
  byId("selected").hidden = !chosen.size;
  setText(byId("selected-count"), `${chosen.size} selected`);
  const all = byId("all");
  all.checked = chosen.size > 0 && chosen.size === rows.children.length;
  all.indeterminate = chosen.size > 0 && !all.checked;
}

function chooseAll(on) {
  for (const row of rows.children) choose(row, on);
  showChosen();
}

async function actOnChosen(event) {
  const { verb } = event.target.dataset;
  if (verb && (await actOnAll(verb, [...chosen]))) chooseAll(false);
}

// --- keys ---

const current = () => rows.querySelector(".current");

function move(step) {
  const at = current();
  const to = at ? (step > 0 ? at.nextElementSibling : at.previousElementSibling) : rows.firstElementChild;
  if (!to) return;
  at?.classList.remove("current");
  to.classList.add("current");
  to.querySelector(".task a").focus({ preventScroll: true });
  to.scrollIntoView({ block: "nearest" });
}

function chooseCurrent() {
  const row = current();
  if (!row) return;
  choose(row, !chosen.has(row.task.taskId));
  showChosen();
}

function letGo() {
  if (chosen.size) chooseAll(false);
  current()?.classList.remove("current");
  document.activeElement.blur();
}

function openCurrent() {
  const row = current();
  if (!row || document.activeElement.matches("button, input")) return false;
  row.querySelector(".task a").click();
  return true;
}

// --- what happens ---

/** Do a call; without a connection, say so and return nothing. */
async function tried(work) {
  try {
    const result = await work();
    back("list");
    return result;
  } catch (problem) {
    if (problem.status === 400) {
      rows.replaceChildren();
      byId("empty").hidden = false;
      setText(byId("empty"), problem.message);
    } else {
      lost("list", problem.status ? problem.message : undefined);
      pause(RETRY_PAUSE).then(refreshSoon);
    }
    return null;
  }
}

/** Refresh at once when something happens, but not more often than every half a second. */
async function keepFresh() {
  for (;;) {
    while (!isStale || document.hidden) await new Promise((resolve) => (wake = resolve));
    isStale = false;
    await Promise.all([refresh(), showCounts()]);
    await pause(REFRESH_PAUSE);
  }
}

function refreshSoon() {
  isStale = true;
  wake();
}

function onEvents(events) {
  for (const { taskId, state } of events ?? []) {
    changed.add(taskId);
    if (state === "deleted") gone.add(taskId);
  }
  refreshSoon();
}

byId("chips").addEventListener("click", (event) => {
  const chip = event.target.closest(".chip");
  if (!chip) return;
  chip.ariaPressed = String(chip.ariaPressed !== "true");
  setFilter();
});
form.addEventListener("submit", find);
form.addEventListener("change", (event) => event.target.name !== "label" && setFilter());
form.elements.label.addEventListener("search", () => !form.elements.label.value && filter().has("label") && setFilter());
addEventListener("popstate", () => (showFilter(), load()));
byId("news").addEventListener("click", () => (showFresh(), showAll(), scrollTo({ top: 0 })));
byId("older").addEventListener("click", loadOlder);
byId("all").addEventListener("change", (event) => chooseAll(event.target.checked));
rows.addEventListener("change", (event) => (choose(event.target.closest("tr"), event.target.checked), showChosen()));
byId("selected").addEventListener("click", actOnChosen);
byId("clear").addEventListener("click", () => chooseAll(false));
onKeys({ j: () => move(1), k: () => move(-1), x: chooseCurrent, Enter: openCurrent, "/": () => form.elements.label.focus(), Escape: letGo });
setInterval(() => !document.hidden && [...rows.children].forEach(tick), 1000);
addEventListener("visibilitychange", () => wake());

showFilter();
watchEvents(onEvents);
await Promise.all([load(), showCounts()]);
keepFresh();
