// The tab of the log: the view, its tools, and what keeps it live.
import { back, lost, patience } from "../connection.js";
import { byId, pause, setText } from "../dom.js";
import { bytes, plural } from "../format.js";
import { onKeys } from "../keys.js";
import { Follower } from "./follower.js";
import { Source } from "./source.js";
import { Track } from "./track.js";
import { LogView } from "./view.js";

const AT = /^#at=(\d+)$/;

export class LogPanel {
  constructor(taskId) {
    this.taskId = taskId;
    this.lines = byId("lines");
    this.view = new LogView(this.lines, { onChange: () => this.changed(), onBroken: (error) => this.broken(error) });
    this.track = new Track(byId("track"), this.view, (offset) => this.jump(offset));
    this.follower = null;
    this.connectTools();
    this.connectKeys();
  }

  filter() {
    const filter = { level: byId("level").value, grep: byId("find").value, stream: byId("stream").value };
    const isPattern = byId("pattern").ariaPressed === "true";
    if (filter.grep) Object.assign(filter, isPattern ? {} : { literal: "true", ignoreCase: "true" });
    return Object.fromEntries(Object.entries(filter).filter(([, value]) => value));
  }

  /** Open the log at the line that the address names, else at its end, and follow it. */
  async open() {
    this.follower?.stop();
    const source = new Source(this.taskId, this.filter());
    this.source = source;
    this.result = null;
    for (let attempt = 0; ; attempt += 1) {
      try {
        await this.openOnce(source);
        return back("open");
      } catch (error) {
        if (error.status && error.status < 500) return setText(byId("log-state"), error.message);
        lost("open");
        await pause(patience(attempt));
      }
      if (this.source !== source) return null;
    }
  }

  async openOnce(source) {
    const size = await source.size();
    const end = await this.endOf(source, size);
    if (this.source !== source) return;
    const opened = this.view.open(source, end, this.linked());
    this.follow(source, end);
    await opened;
    this.markLinked();
  }

  /** Follow from an offset on, and nothing else any more: an opening that broke is tried again. */
  follow(source, offset) {
    this.follower?.stop();
    this.follower = new Follower(source, offset, {
      onEntries: (entries) => this.view.append(entries),
      onEnd: (result) => this.ended(result),
    });
    this.follower.run();
  }

  /** Return where the last complete line ends: what comes after is followed. */
  async endOf(source, size) {
    const plain = new Source(this.taskId, source.filter.stream ? { stream: source.filter.stream } : {});
    for (let span = 64 << 10; size > 0; span *= 4) {
      const start = await plain.lineStart(Math.max(0, size - span));
      const { end } = await plain.read(Math.min(start, size), size);
      if (end > start || start === 0) return end;
      if (span > size) return start;
    }
    return 0;
  }

  async broken(error) {
    if (error.status && error.status < 500) return;
    lost("view");
    await pause(patience(2));
    back("view");
    this.view.fill();
  }

  ended(result) {
    this.result = result;
    this.view.size = this.source.sizeIn(result) ?? this.view.size;
    this.changed();
  }

  // --- places ---

  linked() {
    const found = AT.exec(location.hash);
    return found && !this.source.isFiltered ? Number(found[1]) : null;
  }

  async jump(offset) {
    const { source } = this;
    try {
      await this.view.open(source, this.view.size, offset);
    } catch (error) {
      await this.broken(error);
      if (!error.status && this.source === source && !this.view.chunks.length) await this.jump(offset);
    }
  }

  async goToLinked() {
    if (this.source.isFiltered) return this.showAll();
    const offset = this.linked();
    if (offset !== null) await this.jump(offset);
    return this.markLinked();
  }

  /** Drop the filter, so that a line is seen among those around it. */
  showAll() {
    byId("find").value = "";
    byId("level").value = "";
    return this.open();
  }

  markLinked() {
    const offset = this.linked();
    for (const line of this.lines.querySelectorAll(".linked")) line.classList.remove("linked");
    const line = [...this.lines.querySelectorAll(".line")].find((one) => one.start === offset);
    if (offset === null || !line) return;
    line.classList.add("linked");
    this.lines.scrollTop = line.offsetTop - this.lines.clientHeight / 3;
  }

  // --- what is shown around it ---

  changed() {
    this.track.show();
    const button = byId("new-lines");
    const { missed, isLive } = this.view;
    button.hidden = isLive || (!missed && this.view.last?.end >= this.view.size && this.isNearEnd());
    setText(button, missed ? `${plural(missed, "new line")} ↓` : "To the end ↓");
    setText(byId("log-state"), this.stateText());
  }

  isNearEnd() {
    const { scrollTop, clientHeight, scrollHeight } = this.lines;
    return scrollHeight - scrollTop - clientHeight < clientHeight;
  }

  stateText() {
    const { view } = this;
    if (this.source?.isFiltered) {
      if (view.isFilling) return `searching … ${Math.round(view.searched * 100)} %`;
      return view.isWhole ? `${plural(view.lines, "line")} found` : `${plural(view.lines, "line")} found so far`;
    }
    if (this.result) return view.size ? bytes(view.size) : "no output";
    return view.isLive ? `live · ${bytes(view.size)}` : `paused · ${bytes(view.size)}`;
  }

  connectTools() {
    byId("search").addEventListener("submit", (event) => (event.preventDefault(), this.open()));
    byId("find").addEventListener("search", () => byId("find").value || !this.source?.filter.grep || this.open());
    byId("pattern").addEventListener("click", () => this.togglePattern());
    byId("level").addEventListener("change", () => this.open());
    byId("stream").addEventListener("change", () => this.changeStream());
    byId("times").addEventListener("click", () => this.toggle("times"));
    byId("wrap").addEventListener("click", () => this.toggle("wrap"));
    byId("new-lines").addEventListener("click", () => this.toEnd());
    addEventListener("hashchange", () => this.goToLinked());
    new ResizeObserver(() => this.resized()).observe(this.lines);
  }

  togglePattern() {
    const button = byId("pattern");
    button.ariaPressed = String(button.ariaPressed !== "true");
    if (byId("find").value) this.open();
  }

  changeStream() {
    const stream = byId("stream").value;
    byId("raw").href = new Source(this.taskId, { stream }).bytesUrl();
    return this.open();
  }

  toggle(name) {
    const button = byId(name);
    const on = button.ariaPressed !== "true";
    button.ariaPressed = String(on);
    this.lines.classList.toggle(name, on);
    this.resized();
  }

  resized() {
    if (this.view.isLive) this.view.toBottom();
    this.view.fill();
  }

  toEnd() {
    this.view.missed = 0;
    if (location.hash) history.replaceState(null, "", location.pathname + location.search);
    return this.jump(null);
  }

  // --- keys ---

  connectKeys() {
    const inLog = (action) => () => (byId("log").hidden ? false : action());
    onKeys({
      "/": inLog(() => byId("find").focus()),
      j: inLog(() => this.move(1)),
      k: inLog(() => this.move(-1)),
      Enter: inLog(() => this.link()),
      g: inLog(() => this.jump(0)),
      G: inLog(() => this.toEnd()),
      t: inLog(() => this.toggle("times")),
      w: inLog(() => this.toggle("wrap")),
      Escape: inLog(() => this.letGo()),
    });
  }

  move(step) {
    const lines = [...this.lines.querySelectorAll(".line")];
    const at = lines.findIndex((line) => line.classList.contains("current"));
    const seen = lines.findIndex((line) => line.offsetTop >= this.lines.scrollTop);
    const to = lines[at < 0 ? seen : at + step];
    if (!to) return;
    lines[at]?.classList.remove("current");
    to.classList.add("current");
    to.scrollIntoView({ block: "nearest" });
  }

  link() {
    const line = this.lines.querySelector(".line.current");
    if (!line || document.activeElement.matches("button, a, select")) return false;
    location.hash = `at=${line.start}`;
    return true;
  }

  letGo() {
    const hadFilter = this.source?.isFiltered;
    this.lines.querySelector(".current")?.classList.remove("current");
    document.activeElement.blur();
    if (hadFilter) this.showAll();
  }
}
