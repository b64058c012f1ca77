// Before anything is painted: the theme that was chosen here, else that of the system.
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "";
