"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    const value = (row) => {
      const cell = row.cells[column];
      if (cell.classList.contains("none")) return null;
      return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
    };
    const order = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      const sign = typeof x === "number" && typeof y === "number"
        ? x - y : String(x).localeCompare(String(y), "en", {numeric: true});
      return up ? sign : -sign;
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
  }));
}
for (const slider of document.querySelectorAll(".case input[type=range]")) {
  const slices = [...slider.closest(".case").querySelectorAll(".slice")];
  const show = () => {
    slices.forEach((slice, index) => { slice.hidden = index !== Number(slider.value); });
    slider.parentElement.querySelector("output").textContent = slices[Number(slider.value)].dataset.place;
  };
  slider.addEventListener("input", show);
  show();
}
for (const slider of document.querySelectorAll(".strength input")) {
  slider.addEventListener("input", () => {
    slider.closest("section").style.setProperty("--strength", slider.value / 100);
  });
}
for (const view of document.querySelectorAll(".view")) {
  const resize = () => view.parentElement.classList.toggle("large");
  view.addEventListener("click", resize);
  view.addEventListener("keydown", (event) => { if (event.key === "Enter") resize(); });
}
