// New entries of a log as they are written, each exactly once, whatever happens to the connection.
import { Problem } from "../api.js";
import { back, lost, patience } from "../connection.js";
import { pause } from "../dom.js";
import { LOG_STREAMS, withPermit } from "../permits.js";

const POLL = 250; // milliseconds between two looks, for a tab that has no permit to hold a stream

/** Calls `onEntries(entries)`, and `onEnd(result)` once; rests while the page is not seen. */
export class Follower {
  constructor(source, position, { onEntries, onEnd }) {
    this.source = source;
    this.position = position;
    this.onEntries = onEntries;
    this.onEnd = onEnd;
    this.stopped = new AbortController();
    this.attempt = 0;
  }

  stop() {
    this.stopped.abort();
    back("log");
  }

  get isOver() {
    return this.stopped.signal.aborted;
  }

  async run() {
    while (!this.isOver) {
      await whenVisible();
      const streamed = await withPermit("task-runner-log", LOG_STREAMS, () => this.readOnce(true));
      if (!streamed && !this.isOver) {
        await this.readOnce(false);
        await pause(POLL, this.stopped.signal);
      }
    }
  }

  async readOnce(follow) {
    const signal = AbortSignal.any([this.stopped.signal, whenHidden()]);
    try {
      const stream = await this.source.open(this.position, follow, signal);
      back("log");
      for await (const batch of stream) this.take(batch);
      if (!follow || this.isOver) return;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.status < 500) {
        this.stop();
        lost("log", error.message);
        return;
      }
    }
    lost("log", "The log is cut off: the connection is lost. It goes on where it was as soon as the node answers.");
    await pause(patience(this.attempt), signal);
    this.attempt += 1;
  }

  take(batch) {
    this.attempt = 0;
    const end = batch.at(-1).end ? batch.pop() : null;
    const more = batch.at(-1)?.more ? batch.pop() : null;
    let begin = this.position;
    for (const entry of batch) [entry.start, begin] = [entry.start ?? begin, entry.offset];
    this.position = more?.offset ?? begin;
    if (batch.length) this.onEntries(batch);
    if (end) {
      this.stop();
      this.onEnd(end);
    }
  }
}

const whenVisible = () =>
  new Promise((resolve) => {
    const look = () => {
      if (document.hidden) return;
      document.removeEventListener("visibilitychange", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    look();
  });

function whenHidden() {
  const controller = new AbortController();
  document.addEventListener("visibilitychange", () => document.hidden && controller.abort(), { signal: controller.signal });
  return controller.signal;
}
