// Questions, and lists of what became of each thing.
import { make } from "./dom.js";

function open(title, content, buttons) {
  const dialog = make("dialog", { ariaLabel: title }, make("h2", { textContent: title }), ...content, make("div", { className: "buttons" }, ...buttons));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

const button = (label, value, properties = {}) =>
  make("button", { type: "button", textContent: label, ...properties, onclick: (event) => event.target.closest("dialog").close(value) });

/** Ask whether to do something that cannot be undone; the answer is true or false. */
export function confirm(title, text, verb) {
  return new Promise((resolve) => {
    const yes = button(verb, "yes", { className: "danger" });
    const dialog = open(title, [make("p", { textContent: text })], [button("Cancel", ""), yes]);
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"));
  });
}

/** Show texts to be copied, each with a button that does. */
export function showTexts(title, texts, note = "") {
  const parts = Object.entries(texts).flatMap(([name, text]) => {
    const copy = make("button", { type: "button", textContent: `Copy ${name}` });
    copy.onclick = async () => {
      await navigator.clipboard?.writeText(text);
      copy.textContent = navigator.clipboard ? "Copied" : "Select it by hand: this page may not copy";
    };
    return [make("pre", { textContent: text, tabIndex: 0 }), copy];
  });
  if (note) parts.push(make("p", { className: "muted", textContent: note }));
  open(title, parts, [button("Close", "")]);
}

/** Show a list that fills while the work goes on; give each item a setter for what became of it. */
export function showResults(title, names) {
  const lines = names.map((name) => ({ name, said: make("span", { className: "muted", textContent: "…" }) }));
  const list = make("ul", {}, ...lines.map(({ name, said }) => make("li", {}, make("code", { textContent: name }), said)));
  open(title, [list], [button("Close", "")]);
  return lines.map(({ said }) => (text, tone = "") => {
    said.textContent = text;
    said.className = tone ? "state" : "muted";
    said.dataset.tone = tone;
  });
}
