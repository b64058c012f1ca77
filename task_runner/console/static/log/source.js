// Parts of a log, addressed by bytes: nobody knows how many lines there are, and nobody has to.
import { allJsonLines, openJsonLines, request, taskPath } from "../api.js";

const MAX_LINE = 64 << 10; // a longer line comes in pieces

/** The log of a task, or what of it passes a filter (`level`, `grep`); `stream` may be "stderr". */
export class Source {
  constructor(taskId, filter = {}) {
    this.path = `${taskPath(taskId)}/log`;
    this.filter = filter;
  }

  get isFiltered() {
    return Boolean(this.filter.level || this.filter.grep);
  }

  url(parameters) {
    const query = new URLSearchParams({ ...this.filter, ...parameters });
    for (const [name, value] of [...query]) if (!value && value !== "0") query.delete(name);
    return `${this.path}?${query}`;
  }

  bytesUrl() {
    return this.filter.stream ? `${this.path}?stream=${this.filter.stream}` : this.path;
  }

  /** Return how many bytes there are by now. */
  async size(signal) {
    const answer = await request(this.bytesUrl(), { method: "HEAD", accept: "text/plain", signal });
    return Number(answer.headers.get("content-length"));
  }

  /** Return how many bytes there are in the end, by the result of the task. */
  sizeIn(result) {
    return this.filter.stream === "stderr" ? result.stderrSize : result.outputSize;
  }

  /** Return the entries between two offsets, each with its `start`, and where to go on after them. */
  async read(start, stop, signal) {
    const lines = await allJsonLines(this.url({ offset: start, before: stop }), { signal });
    const last = lines.pop() ?? {};
    // A search that takes too long ends before `stop`, with `more` and the offset to go on at.
    const end = last.more ? last.offset : (last.next ?? this.sizeIn(last) ?? start);
    return { entries: withStarts(lines, start), end };
  }

  /** Return the first place from `offset` on at which a line begins; in a huge line, the offset. */
  async lineStart(offset, signal) {
    if (offset <= 0) return 0;
    const headers = { Accept: "text/plain", Range: `bytes=${offset - 1}-${offset + MAX_LINE}` };
    const answer = await fetch(this.bytesUrl(), { headers, signal, cache: "no-store" });
    if (answer.status !== 206) return offset;
    const end = new Uint8Array(await answer.arrayBuffer()).indexOf(10);
    return end < 0 ? offset : offset + end;
  }

  /** Open the entries from an offset on; they go on while the task does when they are followed. */
  open(offset, follow, signal) {
    return openJsonLines(this.url({ offset, follow }), { signal });
  }
}

/** Give each entry the offset of its first byte; where a filter left some out, that is not known. */
function withStarts(entries, start) {
  let begin = start;
  for (const entry of entries) {
    entry.start = entry.start ?? begin;
    begin = entry.offset;
  }
  return entries;
}
