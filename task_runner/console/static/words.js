// What a state means, in plain words.
import { duration, isOver, moment, runTime } from "./format.js";

const TONES = { created: "wait", running: "live", stalled: "warn", stopping: "warn", lost: "odd" };
const OUTCOME_TONES = { succeeded: "ok", failed: "bad", crashed: "bad", exception: "bad", error: "bad", timeout: "warn", canceled: "warn", unknown: "odd" };
const OUTCOMES = {
  succeeded: () => "It ended by itself, with exit code 0.",
  failed: (task) => `It ended by itself, with exit code ${task.exitCode}.`,
  crashed: (task) => `It was killed by ${task.signal ?? "a signal"}, which nobody here had sent.`,
  exception: () => "The machine raised an exception.",
  canceled: (task) => `It was stopped on request${own(task)}.`,
  timeout: (task) => `It had run for the ${duration(task.timeout ?? 0)} it was given, and was stopped${own(task)}.`,
  error: () => "It could not be started.",
  unknown: () => "It is over, and nobody saw how it ended. No exit code is known.",
};

const own = (task) => (task.returnCode == null ? "" : `; its own exit code was ${task.returnCode}`);

/** Return the one word shown for a task: its outcome once it is over, else its state. */
export const word = (task) => (task.state === "exited" && task.outcome ? task.outcome : task.state);
export const tone = (task) => (task.state === "exited" ? OUTCOME_TONES[task.outcome] : TONES[task.state]) ?? "";

/** Return why a task is in its state. */
export function why(task) {
  const error = task.error ? ` ${task.error}` : "";
  if (isOver(task)) {
    const lost = task.state === "lost" ? "Neither it nor its TaskRunner is there any more. " : "";
    return lost + (OUTCOMES[task.outcome]?.(task) ?? "") + error;
  }
  return {
    created: "It is accepted and waits for a free slot.",
    running: `It has been running for ${runTime(task) || "a moment"}.`,
    stalled: "Its TaskRunner has not been heard of for three minutes; as far as anybody knows, it runs.",
    stopping: `${task.stop?.reason === "timeout" ? "Its time is over" : "It was asked to stop"}${task.stop?.at ? ` at ${moment(task.stop.at)}` : ""}; it has ${duration(task.gracePeriod)} to clean up.`,
  }[task.state] + error;
}

/** Return the result in a few words, for a list. */
export function result(task) {
  if (!isOver(task)) return "";
  if (task.error) return task.error.trim().split("\n").at(-1);
  if (task.signal) return task.signal;
  return task.outcome === "failed" ? `exit code ${task.exitCode}` : "";
}

/** Return machine, and where and in what it runs when that is not the usual. */
export function place(task) {
  const parts = [task.machine];
  if (task.environment !== "multiprocess") parts.push(task.environment);
  if (task.isolation !== "none") parts.push(task.isolation);
  return parts.join(" · ");
}
