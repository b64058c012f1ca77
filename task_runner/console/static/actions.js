// Stop, rerun, remove: of one task or of several.
import { call, taskPath } from "./api.js";
import { confirm, showResults } from "./dialog.js";
import { plural } from "./format.js";
import { word } from "./words.js";

const AT_ONCE = 2;

const VERBS = {
  stop: {
    title: "Stop",
    ask: (what) => `${what} will be asked to end, and killed when the grace period is over.`,
    run: async (taskId) => {
      const task = await call(`${taskPath(taskId)}/stop`, { method: "POST", body: {} });
      return task.state === "exited" ? `it is over: ${word(task)}` : word(task);
    },
  },
  rerun: {
    title: "Rerun",
    run: async (taskId) => `runs again as ${(await rerun(taskId)).taskId}`,
  },
  remove: {
    title: "Remove",
    ask: (what) => `The log, the files and the record of ${what} will be deleted for good.`,
    run: async (taskId) => {
      await call(taskPath(taskId), { method: "DELETE" });
      return "removed";
    },
  },
};

/** Submit the same again; `changes` replace fields of the original. Return taskId and state. */
export const rerun = (taskId, changes = {}) => call(`${taskPath(taskId)}/rerun`, { method: "POST", body: changes });

/** Ask first where that is due; return the result, null when it was not wanted. Raises Problem. */
export async function act(verb, taskId) {
  const { ask, title, run } = VERBS[verb];
  if (ask && !(await confirm(`${title} this task?`, ask("the task").replace(/^t/, "T"), title))) return null;
  return verb === "rerun" ? rerun(taskId) : run(taskId);
}

/** Do it to several, some at a time, and show what became of each; false when it was not wanted. */
export async function actOnAll(verb, taskIds) {
  const { ask, title, run } = VERBS[verb];
  const what = plural(taskIds.length, "task");
  if (ask && !(await confirm(`${title} ${what}?`, ask(what), title))) return false;
  const told = showResults(`${title} ${what}`, taskIds);
  const todo = taskIds.map((taskId, index) => [taskId, told[index]]);
  const work = async () => {
    for (let next = todo.shift(); next; next = todo.shift()) {
      const [taskId, tell] = next;
      await run(taskId).then((text) => tell(text, "ok"), (problem) => tell(problem.message, "bad"));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return true;
}
