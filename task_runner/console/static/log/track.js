// The scrollbar of a log of which only a part is loaded: its length stands for all the bytes.
import { bytes } from "../format.js";

/** Let a track move a view; `go(offset)` is called while it is dragged, one call at a time. */
export class Track {
  constructor(element, view, go) {
    this.element = element;
    this.thumb = element.firstElementChild;
    this.view = view;
    this.go = go;
    this.wanted = null;
    element.addEventListener("pointerdown", (event) => this.grab(event));
    element.addEventListener("pointermove", (event) => element.hasPointerCapture(event.pointerId) && this.drag(event));
    element.addEventListener("lostpointercapture", () => element.classList.remove("held"));
  }

  show() {
    const isPartial = !this.view.isWhole;
    this.element.hidden = !isPartial;
    this.view.viewport.classList.toggle("partial", isPartial);
    if (isPartial && !this.element.classList.contains("held")) this.moveTo(this.view.place);
  }

  moveTo(place) {
    const room = this.element.clientHeight - this.thumb.offsetHeight;
    this.thumb.style.transform = `translateY(${place * room}px)`;
    this.thumb.dataset.at = `${(place * 100).toFixed(place > 0.99 || place < 0.01 ? 2 : 0)} % of ${bytes(this.view.size)}`;
  }

  grab(event) {
    this.element.setPointerCapture(event.pointerId);
    this.element.classList.add("held");
    this.drag(event);
  }

  drag(event) {
    const { top, height } = this.element.getBoundingClientRect();
    const room = height - this.thumb.offsetHeight;
    const place = Math.min(1, Math.max(0, (event.clientY - top - this.thumb.offsetHeight / 2) / room));
    this.moveTo(place);
    const isIdle = this.wanted === null;
    this.wanted = place;
    if (isIdle) this.follow();
  }

  async follow() {
    for (let done = null; done !== this.wanted; ) {
      done = this.wanted;
      await this.go(done >= 1 ? null : Math.floor(done * this.view.size));
    }
    this.wanted = null;
  }
}
