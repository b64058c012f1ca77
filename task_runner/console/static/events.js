// Every change of state of every task. One tab reads the stream and tells the others.
import { allJsonLines, openJsonLines, Problem } from "./api.js";
import { back, lost, patience } from "./connection.js";
import { pause } from "./dom.js";
import { asLeader, canShare } from "./permits.js";

const POLL = 2000;
const channel = new BroadcastChannel("task-runner-events");
const handlers = new Set();
let cursor = "now";

/** Call `onEvents(events)` for what happens from now on; with null when something may be missing. */
export function watchEvents(onEvents) {
  handlers.add(onEvents);
}

function take(message) {
  if (message.broken) lost("events");
  else back("events");
  if (message.events?.length) cursor = message.events.at(-1).cursor;
  if (message.events !== undefined) for (const handler of handlers) handler(message.events);
}

function tell(message) {
  take(message);
  channel.postMessage(message);
}

async function readStream() {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const stream = await openJsonLines(`/v1/events?follow=true&cursor=${cursor}`);
      tell(cursor === "now" ? { events: null } : {});
      for await (const events of stream) {
        attempt = 0;
        tell({ events });
      }
    } catch (error) {
      if (error instanceof Problem && error.status === 410) cursor = "now";
    }
    tell({ broken: true });
    await pause(patience(attempt));
  }
}

async function poll() {
  for (;;) {
    await pause(POLL);
    if (document.hidden) continue;
    try {
      take({ events: cursor === "now" ? null : await allJsonLines(`/v1/events?cursor=${cursor}`) });
    } catch {
      take({ broken: true });
    }
  }
}

channel.onmessage = (message) => take(message.data);
if (canShare()) asLeader("task-runner-events", readStream);
else poll();
