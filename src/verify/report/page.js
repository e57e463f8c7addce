"use strict";
(() => {
  const tiles = [...document.querySelectorAll(".tile")];
  const checks = [...document.querySelectorAll("details.check")];
  const groups = [...document.querySelectorAll("section.group")];
  const find = document.getElementById("find");
  const none = document.getElementById("none");
  const show = () => {
    const classes = tiles.filter((tile) => tile.getAttribute("aria-pressed") === "true").map((tile) => tile.dataset.of);
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const check of checks) {
      const text = check.textContent.toLowerCase();
      check.hidden = !classes.includes(check.dataset.of) || !words.every((word) => text.includes(word));
    }
    for (const group of groups) group.hidden = ![...group.querySelectorAll("details.check")].some((check) => !check.hidden);
    none.style.display = groups.every((group) => group.hidden) ? "block" : "none";
  };
  for (const tile of tiles) {
    tile.addEventListener("click", () => {
      tile.setAttribute("aria-pressed", String(tile.getAttribute("aria-pressed") !== "true"));
      show();
    });
  }
  find.addEventListener("input", show);
  document.getElementById("unfold").addEventListener("click", () => {
    const open = checks.some((check) => !check.hidden && !check.open);
    for (const check of checks) if (!check.hidden) check.open = open;
  });
  document.getElementById("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  show();
})();
