// What every page has: the theme, the help, the banner of a broken connection.
import { onKeys } from "./keys.js";

const root = document.documentElement;
const help = document.getElementById("shortcuts");

function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function toggleTheme() {
  root.dataset.theme = isDark() ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
}

document.getElementById("theme").addEventListener("click", toggleTheme);
document.getElementById("help").addEventListener("click", () => help.showModal());
addEventListener("storage", (event) => {
  if (event.key === "theme") root.dataset.theme = event.newValue ?? "";
});
onKeys({ "?": () => help.showModal() });
