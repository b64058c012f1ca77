// The same task again, as a command for a terminal.
import { showTexts } from "./dialog.js";

const ASKED = ["machine", "parameters", "name", "labels", "environment", "environmentOptions", "isolation", "isolationOptions", "limits", "timeout", "gracePeriod", "priority", "maxOutput", "stderr"];
const USUAL = { environment: "multiprocess", isolation: "none", gracePeriod: 10, priority: 0, stderr: "merged" };
const SECRET = "…";

/**
 * Return what was asked for, without what is usual. Values of variables are never shown: there are
 * places to fill in, or with `secrets: "names"` the names alone.
 */
export function requestOf(task, { secrets = "places" } = {}) {
  const unknown = (names) => (secrets === "names" ? names : Object.fromEntries(names.map((name) => [name, SECRET])));
  const request = {};
  for (const name of ASKED) {
    const value = task[name];
    const isEmpty = value == null || (typeof value === "object" && !Array.isArray(value) && !Object.keys(value).length);
    if (!isEmpty && value !== USUAL[name]) request[name] = value;
  }
  if (Array.isArray(request.parameters?.env)) request.parameters = { ...request.parameters, env: unknown(request.parameters.env) };
  if (task.env?.length) request.env = unknown(task.env);
  return request;
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

export function showCommands(task) {
  const request = requestOf(task);
  const json = JSON.stringify(request);
  const texts = {
    "as curl": `curl -s ${location.origin}/v1/tasks -H 'Content-Type: application/json' -d ${quoted(json)}`,
    "for the command line": `task-runner rerun ${task.taskId}`,
    "as JSON": JSON.stringify(request, null, 2),
  };
  const isSecret = task.env?.length || Array.isArray(task.parameters?.env);
  showTexts("The same task again", texts, isSecret ? `Values of variables are never shown: fill in each ${SECRET}` : "");
}
