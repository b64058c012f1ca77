// A window on a log of any size. In it are chunks: neighbouring ranges of bytes and the lines in them.
// It scrolls as any element does; near its edges more is loaded, and what is far away is let go.
import { make } from "../dom.js";
import { lineElement } from "./line.js";

const MARGIN = 1500; // pixels that are ready above and below what is seen
const LINES_AT_ONCE = 300;
const MAX_LINES = 4000;
const MAX_NEW_LINES = 600; // in one frame; of more, only the last are made into elements
const MAX_TURNS = 20; // a task may write faster than anybody can read
const MIN_BYTES = 16 << 10;
const MAX_BYTES = 512 << 10;
const MAX_FILTERED_BYTES = 16 << 20;

export class LogView {
  /**
   * `onChange()` is called when what is seen, or whether it is live, has changed; `onBroken(error)`
   * when something could not be loaded: call `fill()` to try again.
   */
  constructor(viewport, { onChange, onBroken }) {
    this.viewport = viewport;
    this.paper = viewport.firstElementChild;
    this.onChange = onChange;
    this.onBroken = onBroken;
    this.loading = new AbortController();
    viewport.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.source = null;
    this.clear();
  }

  clear() {
    this.loading.abort();
    this.loading = new AbortController();
    this.chunks = [];
    this.bytes = MIN_BYTES * 2; // how much to load at once; learned from what came
    this.isLive = false;
    this.missed = 0;
    this.pending = [];
    this.isFilling = false;
  }

  // --- opening ---

  /** Show another log, or another part: the line at an offset, or the end when there is none. */
  async open(source, size, offset = null) {
    this.source = source;
    this.size = size;
    this.clear();
    this.isFilling = true; // until it is open, nothing else may load
    const { signal } = this.loading;
    try {
      if (offset === null) await this.openEnd(signal);
      else await this.openAt(offset, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async openEnd(signal) {
    for (let turn = 0; turn < MAX_TURNS && !(this.last?.end >= this.size); turn += 1) {
      const isNear = this.last && this.size - this.last.end < this.bytes * 2;
      const chunk = await (isNear ? this.after(this.last.end, signal) : this.before(this.size, signal));
      if (signal.aborted) return;
      if (!isNear) this.chunks = [];
      this.add(chunk);
    }
    this.joinEnd();
    this.toBottom();
    this.isFilling = false;
    await this.fill();
    if (this.isLive && !signal.aborted) this.toBottom();
  }

  async openAt(offset, signal) {
    const start = await this.source.lineStart(Math.min(offset, this.size), signal);
    const chunk = await this.after(start, signal);
    if (signal.aborted) return;
    this.add(chunk);
    this.viewport.scrollTop = 0;
    this.isFilling = false;
    await this.fill();
  }

  // --- loading ---

  async after(start, signal) {
    const { entries, end } = await this.readOn(start, signal);
    this.learn(entries.length, end - start);
    const kept = entries.slice(0, LINES_AT_ONCE * 3);
    const last = kept.length < entries.length ? kept.at(-1).offset : end;
    return { start, end: last, element: this.elementOf(kept), lines: kept.length };
  }

  /** Read what follows; more than usual where a line is longer than that. */
  async readOn(start, signal) {
    for (let bytes = this.bytes; ; bytes *= 2) {
      const stop = Math.min(start + bytes, Math.max(this.size, start));
      const found = await this.source.read(start, stop, signal);
      if (found.end > start || stop === this.size || stop === start) return found;
    }
  }

  async before(end, signal) {
    let start = await this.source.lineStart(Math.max(0, end - this.bytes), signal);
    if (start >= end) start = Math.max(0, end - this.bytes);
    const { entries, end: last } = await this.readUntil(start, end, signal);
    this.learn(entries.length, end - start);
    const kept = entries.slice(-LINES_AT_ONCE * 3);
    if (kept.length < entries.length) start = entries.at(-kept.length - 1).offset;
    return { start, end: last, element: this.elementOf(kept), lines: kept.length };
  }

  /** Read all between two offsets, even where a search gives it in parts. */
  async readUntil(start, end, signal) {
    const found = await this.source.read(start, end, signal);
    while (found.end < end) {
      const more = await this.source.read(found.end, end, signal);
      if (more.end <= found.end) break;
      found.entries.push(...more.entries);
      found.end = more.end;
    }
    return found;
  }

  /** Load as many bytes the next time as are likely to hold the lines that are wanted. */
  learn(lines, bytes) {
    const wanted = lines ? (bytes / lines) * LINES_AT_ONCE : this.bytes * 4;
    const most = this.source.isFiltered ? MAX_FILTERED_BYTES : MAX_BYTES;
    this.bytes = Math.round(Math.min(Math.max(wanted, MIN_BYTES), most));
  }

  elementOf(entries) {
    return make("div", {}, ...entries.map((entry) => lineElement(entry, this.source.filter.literal && this.source.filter.grep)));
  }

  /** Load what is missing around what is seen; one load at a time. */
  async fill() {
    if (this.isFilling || !this.chunks.length) return;
    this.isFilling = true;
    const { signal } = this.loading;
    try {
      while (!signal.aborted && (await this.fillOnce(signal))) this.onChange();
    } catch (error) {
      if (!signal.aborted) this.onBroken(error);
    } finally {
      if (!signal.aborted) this.isFilling = false;
    }
    this.onChange();
  }

  async fillOnce(signal) {
    const { scrollTop, clientHeight, scrollHeight } = this.viewport;
    const below = scrollHeight - scrollTop - clientHeight;
    if (below < MARGIN && !this.isLive && this.last.end < this.size) {
      const chunk = await this.after(this.last.end, signal);
      if (signal.aborted) return false;
      if (chunk.end > this.last.end) {
        this.add(chunk);
        return true;
      }
      this.size = this.last.end; // the rest is a line that is not complete yet
    }
    const { first } = this;
    if (scrollTop < MARGIN && first.start > 0) {
      const chunk = await this.before(first.start, signal);
      if (!signal.aborted && this.first === first) this.addBefore(chunk); // else live lines have moved the window on
      return true;
    }
    return false;
  }

  add(chunk) {
    if (this.last && chunk.start !== this.last.end) return; // live lines came first
    this.put(chunk);
    this.keepPlace(() => this.dropFirst());
  }

  /** Put a chunk after the others; what was seen before the first one came stands until then. */
  put(chunk) {
    if (!this.chunks.length) this.paper.replaceChildren();
    this.chunks.push(chunk);
    this.paper.append(chunk.element);
  }

  addBefore(chunk) {
    this.keepPlace(() => {
      this.chunks.unshift(chunk);
      this.paper.prepend(chunk.element);
    });
    while (this.lines > MAX_LINES && this.last.element.offsetTop > this.viewport.scrollTop + this.viewport.clientHeight + MARGIN) {
      this.chunks.pop().element.remove();
      this.isLive = false;
    }
  }

  dropFirst() {
    while (this.lines > MAX_LINES && this.chunks.length > 1) {
      const { offsetTop, offsetHeight } = this.first.element;
      if (!this.isLive && offsetTop + offsetHeight > this.viewport.scrollTop - MARGIN) return;
      this.chunks.shift().element.remove();
    }
  }

  /** Change what is above without moving what is seen. */
  keepPlace(change) {
    const anchor = this.last.element;
    const before = anchor.offsetTop;
    change();
    const moved = (anchor.isConnected ? anchor.offsetTop : before) - before;
    if (moved) this.viewport.scrollTop += moved;
  }

  // --- live ---

  /** Take new entries, each once whoever brings it: shown at once when the end is seen, else counted. */
  append(found) {
    const entries = found.filter((entry) => entry.offset > this.size);
    if (!entries.length) return;
    this.size = entries.at(-1).offset;
    if (!this.isLive) {
      this.missed += entries.length;
      this.onChange();
      return;
    }
    if (!this.pending.length) requestAnimationFrame(() => this.showPending());
    this.pending.push(...entries.slice(-MAX_NEW_LINES));
    if (this.pending.length > MAX_NEW_LINES * 2) this.pending = this.pending.slice(-MAX_NEW_LINES);
  }

  showPending() {
    const end = this.last?.end ?? 0;
    const entries = this.pending.slice(-MAX_NEW_LINES).filter((entry) => entry.offset > end);
    this.pending = [];
    if (!entries.length) return;
    // Chunks are neighbours: where too much came at once, the window begins anew with the last of it.
    if (!this.source.isFiltered && entries[0].start > end) this.chunks = [];
    for (let at = 0; at < entries.length; at += LINES_AT_ONCE) this.addLive(entries.slice(at, at + LINES_AT_ONCE));
    this.dropFirst();
    if (this.isLive) this.toBottom();
    this.onChange();
  }

  addLive(entries) {
    const { last } = this;
    const chunk = { start: last?.end ?? entries[0].start, end: entries.at(-1).offset, element: this.elementOf(entries), lines: entries.length };
    if (last && last.lines + chunk.lines <= LINES_AT_ONCE) {
      last.element.append(...chunk.element.children);
      Object.assign(last, { end: chunk.end, lines: last.lines + chunk.lines });
      return;
    }
    this.put(chunk);
  }

  toBottom() {
    this.viewport.scrollTop = this.viewport.scrollHeight;
    this.top = this.viewport.scrollTop;
  }

  scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.viewport;
    const atBottom = scrollTop + clientHeight >= scrollHeight - 4;
    if (this.isLive && !atBottom && scrollTop < this.top) this.leaveEnd();
    else if (!this.isLive && atBottom && this.last && this.last.end >= this.size) this.joinEnd();
    this.top = scrollTop;
    this.fill();
  }

  leaveEnd() {
    if (this.pending.length) this.showPending();
    this.isLive = false;
  }

  joinEnd() {
    this.isLive = true;
    this.missed = 0;
    this.onChange();
  }

  // --- where it is ---

  get first() {
    return this.chunks[0];
  }

  get last() {
    return this.chunks.at(-1);
  }

  get lines() {
    return this.chunks.reduce((sum, chunk) => sum + chunk.lines, 0);
  }

  get isWhole() {
    return !this.chunks.length || (this.first.start === 0 && this.last.end >= this.size);
  }

  /** Return how much of the log has been looked through, from 0 to 1. */
  get searched() {
    return this.chunks.length ? Math.min(1, (this.last.end - this.first.start) / Math.max(1, this.size)) : 0;
  }

  /** Return the offset of what is at a height, from the range and the height of its chunk. */
  byteAt(height) {
    for (const { start, end, element } of this.chunks) {
      const within = (height - element.offsetTop) / element.offsetHeight;
      if (within < 1) return start + Math.max(0, within) * (end - start);
    }
    return this.last?.end ?? 0;
  }

  /** Return where the window is, from 0 to 1. */
  get place() {
    const { scrollTop, clientHeight } = this.viewport;
    const top = this.byteAt(scrollTop);
    const seen = this.byteAt(scrollTop + clientHeight) - top;
    return Math.min(1, top / Math.max(1, this.size - seen));
  }
}
