// Times, durations and sizes for people.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const SHORT = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const LONG = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
const NUMBER = new Intl.NumberFormat("en");

export const count = (number) => NUMBER.format(number);
export const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
export const moment = (iso) => (iso ? LONG.format(new Date(iso)) : "–");
const isToday = (date) => date.toDateString() === new Date().toDateString();
export const shortMoment = (iso) => (isToday(new Date(iso)) ? SHORT : LONG).format(new Date(iso));
export const clock = (iso) => (iso ? `${SHORT.format(new Date(iso))}.${iso.slice(20, 23).padEnd(3, "0")}` : "");

export function bytes(number) {
  if (number == null) return "–";
  let unit = 0;
  while (number >= 1024 && unit < UNITS.length - 1) [number, unit] = [number / 1024, unit + 1];
  return `${unit && number < 10 ? number.toFixed(1) : Math.round(number)} ${UNITS[unit]}`;
}

export function duration(seconds) {
  if (seconds < 10) return `${Math.max(seconds, 0).toFixed(1)} s`;
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} m`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export function ago(iso) {
  const seconds = (Date.now() - new Date(iso)) / 1000;
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

/** Return how long a task ran or has been running, "" when it has not begun. */
export function runTime(task) {
  if (!task.startedAt) return "";
  const end = task.finishedAt ? new Date(task.finishedAt) : isOver(task) ? null : new Date();
  return end ? duration((end - new Date(task.startedAt)) / 1000) : "";
}

export const isOver = (task) => task.state === "exited" || task.state === "lost";
