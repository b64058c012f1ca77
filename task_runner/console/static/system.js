// What this node is and has.
import { call } from "./api.js";
import { back, lost } from "./connection.js";
import { pairs } from "./details.js";
import { byId, make, pause, prose } from "./dom.js";
import { bytes, count, duration } from "./format.js";

const LOOK = 5000;

const meter = (label, used, total) =>
  make("div", { className: "meter" }, make("span", { className: "muted", textContent: `${label}: ${bytes(used)} of ${bytes(total)} in use` }), make("progress", { max: total, value: used, ariaLabel: label }));

function showNode({ capacity, disk, versions, limits, host, architecture, uptime }) {
  byId("capacity").replaceChildren(
    meter("Memory", capacity.memoryTotal - (capacity.memoryAvailable ?? capacity.memoryTotal), capacity.memoryTotal),
    pairs({ Running: capacity.maxRunning ? `${count(capacity.running)} of at most ${count(capacity.maxRunning)}` : count(capacity.running), Waiting: count(capacity.waiting), Cores: capacity.cores, Load: capacity.load.map((one) => one.toFixed(2)).join("  "), "Largest request": bytes(limits.maxBodyBytes) }),
  );
  byId("disk").replaceChildren(meter("Disk", disk.total - disk.free, disk.total), pairs({ Free: bytes(disk.free), "Work directory": disk.path }));
  byId("versions").replaceChildren(pairs({ "Task Runner": versions.taskRunner, Python: versions.python, Kernel: versions.kernel, Host: `${host}, ${architecture}`, "This worker": `up for ${duration(uptime)}`, Libraries: Object.entries(versions.libraries).map(([name, one]) => `${name} ${one}`).join(", ") }));
}

/** Show things that have a name and may be out of order, and say what to do then. */
function showNamed(panel, things) {
  panel.replaceChildren(make("div", { className: "card-list" }, ...things.map(card)));
}

function card({ name, usable = true, why, error, install, description, found, capabilities }) {
  const isGood = usable && !error;
  const state = make("span", { className: "state", dataset: { tone: isGood ? "ok" : "warn" } }, make("i", { className: "dot", ariaHidden: "true" }), name);
  const facts = Object.entries(found ?? {}).filter(([, value]) => value?.length || typeof value === "number").map(([key, value]) => `${key}: ${Array.isArray(value) ? value.join(", ") : value}`);
  const can = [capabilities?.limits?.length ? `limits: ${capabilities.limits.join(", ")}` : "", capabilities?.options ? `options: ${Object.keys(capabilities.options).join(", ")}` : ""];
  const texts = [description, why ?? error, install, facts.join(" · "), ...can].filter((one) => one && one !== "options: ");
  return make("article", {}, state, make("div", {}, ...texts.map((one, index) => make("span", { className: index ? "muted" : "" }, ...prose(one))), ...(texts.length ? [] : [isGood ? "ready" : "cannot be used"])));
}

async function show() {
  showNode(await call("/v1/system"));
  showNamed(byId("machines"), await call("/v1/machines"));
  const { environments, isolations } = await call("/v1/environments");
  showNamed(byId("environments"), environments);
  showNamed(byId("isolations"), isolations);
}

for (;;) {
  try {
    await show();
    back("system");
  } catch (problem) {
    lost("system", problem.status ? problem.message : undefined);
  }
  await pause(LOOK);
  while (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}
