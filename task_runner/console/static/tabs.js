// Tabs with panels (WAI-ARIA Authoring Practices, "Tabs"); which one is open is in the address.

/** Call `onOpen(name)` when a tab is opened, also at the start for one that the address names. */
export function connectTabs(onOpen) {
  const tabs = [...document.querySelectorAll('[role="tab"]')];
  const nameOf = (tab) => tab.getAttribute("aria-controls");

  function open(tab, { keep = true } = {}) {
    for (const one of tabs) {
      const isOpen = one === tab;
      one.ariaSelected = String(isOpen);
      one.tabIndex = isOpen ? 0 : -1;
      document.getElementById(nameOf(one)).hidden = !isOpen;
    }
    const query = tab === tabs[0] ? "" : `?tab=${nameOf(tab)}`;
    if (keep) history.replaceState(null, "", location.pathname + query + location.hash);
    onOpen(nameOf(tab));
  }

  function onKey(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const tab = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
    tab.focus();
    open(tab);
  }

  for (const tab of tabs) {
    tab.addEventListener("click", () => open(tab));
    tab.addEventListener("keydown", onKey);
  }
  const wanted = new URLSearchParams(location.search).get("tab");
  const named = tabs.find((tab) => nameOf(tab) === wanted);
  if (named) open(named, { keep: false });
}
