// An entry of the log as an element.
import { make } from "../dom.js";
import { clock } from "../format.js";
import { ansiNodes } from "./ansi.js";

/** Make the element of an entry; `mark` is a text to be marked in it. */
export function lineElement(entry, mark) {
  const link = make("a", { href: `#at=${entry.start}`, tabIndex: -1, ariaLabel: `Link to the line at byte ${entry.start}`, dataset: { time: clock(entry.time).padEnd(12) } });
  const text = make("span");
  if (entry.level) text.append(make("b", { textContent: entry.level }), make("i", { textContent: ` ${entry.logger} ` }));
  text.append(...ansiNodes(entry.message));
  if (mark) markAll(text, mark);
  if (!entry.message && !entry.level) text.append("\u200b");
  const line = make("div", { className: `line ${entry.level ?? ""}` }, link, text);
  line.start = entry.start;
  return line;
}

/** Put every occurrence of a text that is within one node into a mark. */
function markAll(element, mark) {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const nodes = [];
  while (walker.nextNode()) nodes.push(walker.currentNode);
  // By an expression, as a letter may have another length in lower case ("İ").
  const wanted = new RegExp(mark.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"), "i");
  for (const node of nodes) {
    for (let rest = node, found; (found = wanted.exec(rest.data)); ) {
      const hit = rest.splitText(found.index);
      rest = hit.splitText(found[0].length);
      hit.replaceWith(make("mark", { textContent: hit.data }));
    }
  }
}
