"use strict";
const theme = new URLSearchParams(location.search).get("theme");
if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;

/** Makes headings buttons that sort the rows of the table's body by data-v. */
function sortable(table) {
  const heads = Array.from(table.tHead.rows[0].cells);
  const order = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    return a === "" || b === "" || isNaN(x) || isNaN(y) ? a.localeCompare(b) : x - y;
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const numbers = head.classList.contains("num");
      const down = head.ariaSort === null ? numbers : head.ariaSort === "ascending";
      heads.forEach((other) => { other.ariaSort = null; });
      head.ariaSort = down ? "descending" : "ascending";
      const rows = Array.from(table.tBodies[0].rows);
      rows.sort((a, b) => (down ? -1 : 1) *
        order(a.cells[column].dataset.v, b.cells[column].dataset.v));
      table.tBodies[0].append(...rows);
    });
  });
}

document.querySelectorAll("table.sortable").forEach(sortable);
