// A new task, or an old one with changes: as a form that its schemas make, or as JSON.
import { rerun } from "./actions.js";
import { call, taskPath } from "./api.js";
import { requestOf } from "./commands.js";
import { lost } from "./connection.js";
import { byId, make, setText } from "./dom.js";
import { fieldOf } from "./schema_form.js";

const HIDDEN = ["machine", "parameters", "rerunOf"];
const ORIGIN = new URLSearchParams(location.search).get("from");
const tabs = [byId("tab-form"), byId("tab-json")];
const text = byId("json-text");
let machines = [];
let original = null;
let machine = null;
let parameters = null;
let common = null;

// --- the form ---

function makeForm(schemas) {
  const choose = make("select", { id: "machine", onchange: () => showParameters(choose.value) }, ...machines.map(({ name }) => make("option", { value: name, textContent: name })));
  const about = make("span", { className: "hint", id: "machine-about" });
  choose.setAttribute("aria-describedby", "machine-about machine-error");
  byId("machine-part").append(make("div", { className: "field" }, make("label", { htmlFor: "machine", textContent: "Machine" }), choose, about, make("span", { className: "error", id: "machine-error" })));
  machine = choose;
  const known = resolved(schemas.TaskRequest, schemas);
  const properties = Object.fromEntries(Object.entries(known.properties).filter(([name]) => !HIDDEN.includes(name)));
  for (const [name, property] of Object.entries(properties)) property.title = titled(name);
  common = fieldOf({ type: "object", properties }, "More", "");
  byId("common-part").append(...common.element.children);
}

const titled = (name) => name[0].toUpperCase() + name.slice(1).replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

/** Put what a reference stands for in its place. */
function resolved(schema, schemas) {
  if (Array.isArray(schema)) return schema.map((one) => resolved(one, schemas));
  if (typeof schema !== "object" || schema === null) return schema;
  if (schema.$ref) return { ...resolved(schemas[schema.$ref.split("/").at(-1)], schemas), ...schema, $ref: undefined };
  return Object.fromEntries(Object.entries(schema).map(([name, one]) => [name, resolved(one, schemas)]));
}

function showParameters(name, value) {
  const known = machines.find((one) => one.name === name) ?? machines[0];
  machine.value = known.name;
  setText(byId("machine-about"), known.error ?? known.description ?? "");
  parameters = fieldOf(known.schema ?? {}, "Parameters", "parameters");
  byId("parameters-part").replaceChildren(parameters.element);
  if (value !== undefined) parameters.write(value);
}

function write({ machine: name, parameters: value, ...rest }) {
  showParameters(name, value);
  common.write(rest);
  byId("more").open = Object.keys(rest).length > 0;
}

/** Return the task as it stands in the tab that is open. Raises Refused for what cannot be read. */
function read() {
  if (!byId("json").hidden) {
    try {
      return JSON.parse(text.value);
    } catch (error) {
      throw new Refused(`This is not JSON: ${error.message}`, []);
    }
  }
  const request = { machine: machine.value };
  for (const field of [...parameters.all(), ...common.all()]) tryToRead(field);
  const value = parameters.read();
  if (value !== undefined) request.parameters = value;
  return Object.assign(request, common.read());
}

function tryToRead(field) {
  try {
    field.read();
  } catch (error) {
    throw new Refused(`${field.path}: this is not JSON`, [{ field: field.path, detail: `this is not JSON: ${error.message}` }]);
  }
}

class Refused extends Error {
  constructor(message, errors) {
    super(message);
    this.status = 400;
    this.errors = errors;
  }
}

// --- what is wrong with it ---

function clearErrors() {
  for (const field of [...parameters.all(), ...common.all()]) field.complain("");
  setText(byId("machine-error"), "");
  text.ariaInvalid = null;
  say("");
}

function say(message, tone = "") {
  byId("said").dataset.tone = tone;
  setText(byId("said"), message);
}

function showProblem(problem) {
  say(problem.message, "bad");
  if (!problem.status) lost("submit", "The node does not answer. Nothing was submitted as far as this page knows.");
  if (!byId("json").hidden) text.ariaInvalid = "true";
  const found = problem.errors.filter((error) => complain(error));
  if (found.length) say(found.length === 1 ? "One field is wrong." : `${found.length} fields are wrong.`, "bad");
}

/** Tell an error beside its field; return whether there is one. */
function complain({ field: path, detail, line, column }) {
  if (path === "machine") {
    setText(byId("machine-error"), detail);
    return byId("json").hidden;
  }
  const field = byId("json").hidden && path ? (parameters.find(path) ?? common.find(path) ?? (path === "parameters" ? parameters.all()[0] : null)) : null;
  if (!field) return false;
  if (byId("more").contains(field.input)) byId("more").open = true;
  field.complain(line ? `line ${line}, column ${column}: ${detail}` : detail);
  field.input.focus();
  return true;
}

// --- what is done with it ---

async function attempt(work) {
  clearErrors();
  byId("submit").disabled = true;
  try {
    await work(read());
  } catch (problem) {
    showProblem(problem);
  } finally {
    byId("submit").disabled = false;
  }
}

async function submit(request) {
  const accepted = original ? await rerun(ORIGIN, changes(request)) : await call("/v1/tasks", { method: "POST", body: request });
  location.assign(`/console/tasks/${encodeURIComponent(accepted.taskId)}`);
}

async function check(request) {
  const shown = { ...request };
  if (Array.isArray(shown.env)) shown.env = Object.fromEntries(shown.env.map((name) => [name, ""]));
  if (Array.isArray(shown.parameters?.env)) shown.parameters = { ...shown.parameters, env: {} };
  await call("/v1/tasks?check=true", { method: "POST", body: shown });
  say("It would be accepted.", "ok");
}

/** Return the fields that differ from the original; null stands for the default. */
function changes(request) {
  const names = new Set([...Object.keys(request), ...Object.keys(original)]);
  const differs = (name) => JSON.stringify(request[name]) !== JSON.stringify(original[name]);
  return Object.fromEntries([...names].filter(differs).map((name) => [name, request[name] ?? null]));
}

function openTab(tab) {
  if (tab.ariaSelected === "true") return;
  attempt((request) => {
    if (tab === tabs[0]) write(request);
    else text.value = JSON.stringify(request, null, 2);
    for (const one of tabs) {
      one.ariaSelected = String(one === tab);
      one.tabIndex = one === tab ? 0 : -1;
      byId(one.getAttribute("aria-controls")).hidden = one !== tab;
    }
  });
}

async function start() {
  const [known, api] = await Promise.all([call("/v1/machines"), call("/openapi.json")]);
  machines = known;
  makeForm(api.components.schemas);
  if (!ORIGIN) return showParameters(machines[0].name);
  const task = await call(taskPath(ORIGIN));
  original = requestOf(task, { secrets: "names" });
  setText(byId("heading"), "Edit and rerun");
  byId("origin").hidden = false;
  setText(byId("origin"), `A new task, like ${task.name ?? ORIGIN} but for what you change.${task.env?.length ? " Variables that stand without a value keep the one they had." : ""}`);
  document.title = `Edit and rerun ${ORIGIN}`;
  return write(structuredClone(original));
}

for (const tab of tabs) tab.addEventListener("click", () => openTab(tab));
byId("tab-form").parentElement.addEventListener("keydown", (event) => {
  if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
  const other = tabs[1 - tabs.indexOf(event.target)];
  other.focus();
  openTab(other);
});
byId("task-form").addEventListener("submit", (event) => (event.preventDefault(), attempt(submit)));
byId("task-form").addEventListener("keydown", (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && attempt(submit));
byId("check").addEventListener("click", () => attempt(check));
start().catch((problem) => say(problem.message, "bad"));
