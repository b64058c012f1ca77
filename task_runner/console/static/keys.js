// Keys that work wherever nothing is being typed.

const TYPING = "input:not([type=checkbox]), select, textarea, [contenteditable]";

/** Call what belongs to a key, unless it goes into a field, a dialog or a shortcut of the browser. */
export function onKeys(actions) {
  addEventListener("keydown", (event) => {
    const action = actions[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.target.matches?.(TYPING) && event.key !== "Escape") return;
    if (action(event) !== false) event.preventDefault();
  });
}
