// The banner that says when this page does not get what is new.

const banner = document.getElementById("banner");
const broken = new Map();

function show() {
  banner.hidden = !broken.size;
  if (broken.size) banner.textContent = [...broken.values()][0];
}

/** Say that a stream is broken; it is being tried again. */
export function lost(stream, text = "The connection to the node is lost. Trying again …") {
  broken.set(stream, text);
  show();
}

export function back(stream) {
  if (broken.delete(stream)) show();
}

/** Return the milliseconds to wait before attempt `number` (from 0). */
export const patience = (number) => Math.min(250 * 2 ** number, 4000);
