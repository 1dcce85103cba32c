"use strict";
const theme = new URLSearchParams(location.search).get("theme");
if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;

const data = JSON.parse(document.getElementById("data").textContent);
const STAGES = ["encode", "send", "worker", "receive", "decode"];
const LANES = ["runner", "link", "worker"];
const LANE_OF = [0, 1, 2, 1, 0];
// A call: number, op, layer, start, five stages (ms), sent, received, calls it stands for, end.
const [CALL, OP, LAYER, START, STAGE, SENT, RECEIVED, COUNT, END] = [0, 1, 2, 3, 4, 9, 10, 11, 12];

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const bytes = (n) => n < 1024 ? n + " B" : n < 1048576 ? (n / 1024).toFixed(1) + " KiB"
  : (n / 1048576).toFixed(3) + " MiB";
const ms = (t) => t < 1 ? (t * 1000).toFixed(1) + " \u00b5s" : t < 10000 ? t.toFixed(2) + " ms"
  : (t / 1000).toFixed(2) + " s";

function describe(call) {
  const layer = call[LAYER] < 0 ? "" : " of layer " + call[LAYER];
  const what = call[COUNT] > 1 ? call[COUNT] + " calls from number " + call[CALL]
    : data.ops[call[OP]] + layer + ", call " + call[CALL];
  const stages = STAGES.map((name, i) => name + " " + ms(call[STAGE + i])).join(", ");
  return what + ": " + bytes(call[SENT]) + " sent, " + bytes(call[RECEIVED]) + " received; at " +
    ms(call[START]) + ", " + stages;
}

class Timeline {
  constructor(box, calls) {
    this.box = box;
    this.calls = calls.slice().sort((a, b) => a[START] - b[START]);
    this.canvas = box.querySelector("canvas");
    this.detail = box.querySelector(".detail");
    this.first = this.calls.length ? this.calls[0][START] : 0;
    this.last = this.calls.reduce((most, call) => Math.max(most, call[END]), this.first + 1e-3);
    this.view = [this.first, this.last];
    box.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click",
      () => this.zoom(Number(button.dataset.zoom), 0.5)));
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  listen() {
    let grip = null;
    const at = (event) => event.clientX - this.canvas.getBoundingClientRect().left;
    this.canvas.addEventListener("pointerdown", (event) => {
      grip = { x: at(event), view: this.view.slice() };
      this.show(at(event));
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (grip === null) return this.show(at(event));
      const moved = (at(event) - grip.x) / this.canvas.clientWidth * (grip.view[1] - grip.view[0]);
      if (Math.abs(at(event) - grip.x) > 3) this.look(grip.view[0] - moved, grip.view[1] - moved);
    });
    for (const end of ["pointerup", "pointercancel", "pointerleave"]) {
      this.canvas.addEventListener(end, () => { grip = null; });
    }
    this.canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.shiftKey) return;
      event.preventDefault();
      this.zoom(event.deltaY + event.deltaX < 0 ? 1.5 : 1 / 1.5, at(event) / this.canvas.clientWidth);
    }, { passive: false });
    this.canvas.addEventListener("keydown", (event) => {
      const step = (this.view[1] - this.view[0]) / 10;
      if (event.key === "ArrowLeft") this.look(this.view[0] - step, this.view[1] - step);
      else if (event.key === "ArrowRight") this.look(this.view[0] + step, this.view[1] + step);
      else if (event.key === "+") this.zoom(2, 0.5);
      else if (event.key === "-") this.zoom(0.5, 0.5);
      else return;
      event.preventDefault();
    });
  }

  zoom(factor, where) {
    if (factor === 0) return this.look(this.first, this.last);
    const width = (this.view[1] - this.view[0]) / factor;
    const middle = this.view[0] + (this.view[1] - this.view[0]) * where;
    this.look(middle - width * where, middle + width * (1 - where));
  }

  look(from, to) {
    const width = Math.min(Math.max(to - from, 1e-3), this.last - this.first);
    from = Math.min(Math.max(from, this.first), this.last - width);
    this.view = [from, from + width];
    this.draw();
  }

  /** Index of the last call that starts at or before `time`, at least 0. */
  before(time) {
    let low = 0, high = this.calls.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.calls[middle][START] <= time) low = middle; else high = middle - 1;
    }
    return low;
  }

  show(x) {
    if (!this.calls.length) return;
    const time = this.view[0] + x / this.canvas.clientWidth * (this.view[1] - this.view[0]);
    const index = this.before(time);
    const next = this.calls[Math.min(index + 1, this.calls.length - 1)];
    const call = this.calls[index];
    const nearer = next[START] - time < time - call[END] ? next : call;
    this.detail.textContent = describe(nearer);
    this.draw(nearer);
  }

  draw(marked = null) {
    const dpr = window.devicePixelRatio || 1;
    const width = this.canvas.clientWidth;
    const lane = 34, gap = 8, axis = 24, height = LANES.length * (lane + gap) + axis;
    this.canvas.style.height = height + "px";
    this.canvas.width = Math.round(width * dpr);
    this.canvas.height = Math.round(height * dpr);
    const g = this.canvas.getContext("2d");
    g.setTransform(dpr, 0, 0, dpr, 0, 0);
    const [from, to] = this.view;
    const scale = width / (to - from);
    g.fillStyle = css("--head");
    LANES.forEach((_, i) => g.fillRect(0, i * (lane + gap), width, lane));
    const colors = STAGES.map((name) => css("--" + name));
    const first = Math.max(0, this.before(from) - 1), last = this.before(to);
    // Where calls crowd, each pixel shows the share of its time that each stage took.
    if (last - first > width) this.drawShares(g, first, last, from, scale, width, lane, gap, colors);
    else this.drawSpans(g, first, last, from, scale, lane, gap, colors);
    if (marked !== null) {
      const x = (marked[START] - from) * scale;
      g.strokeStyle = css("--ink");
      g.strokeRect(x, 0.5, Math.max(2, (marked[END] - marked[START]) * scale), height - axis - gap - 1);
    }
    g.font = "600 11px system-ui, sans-serif";
    LANES.forEach((name, i) => {
      const y = i * (lane + gap);
      g.fillStyle = css("--panel");
      g.globalAlpha = 0.82;
      g.fillRect(4, y + 4, g.measureText(name).width + 10, 17);
      g.globalAlpha = 1;
      g.fillStyle = css("--ink");
      g.fillText(name, 9, y + 16);
    });
    this.drawAxis(g, from, to, scale, width, height);
  }

  drawSpans(g, first, last, from, scale, lane, gap, colors) {
    for (let i = first; i <= last && i < this.calls.length; ++i) {
      let at = this.calls[i][START];
      STAGES.forEach((_, stage) => {
        const length = this.calls[i][STAGE + stage];
        g.fillStyle = colors[stage];
        if (length > 0) {
          g.fillRect((at - from) * scale, LANE_OF[stage] * (lane + gap), Math.max(0.7, length * scale),
            lane);
        }
        at += length;
      });
    }
  }

  drawShares(g, first, last, from, scale, width, lane, gap, colors) {
    const share = STAGES.map(() => new Float64Array(Math.ceil(width) + 1));
    for (let i = first; i <= last; ++i) {
      let at = this.calls[i][START];
      STAGES.forEach((_, stage) => {
        const end = at + this.calls[i][STAGE + stage];
        let x = Math.max(0, (at - from) * scale);
        const stop = Math.min(width, (end - from) * scale);
        while (x < stop) {
          const edge = Math.min(stop, Math.floor(x) + 1);
          share[stage][Math.floor(x)] += edge - x;
          x = edge;
        }
        at = end;
      });
    }
    const used = LANES.map(() => new Float64Array(Math.ceil(width) + 1));
    STAGES.forEach((_, stage) => {
      g.fillStyle = colors[stage];
      const level = used[LANE_OF[stage]];
      for (let x = 0; x < width; ++x) {
        const tall = Math.min(1 - level[x], share[stage][x]) * lane;
        if (tall <= 0) continue;
        g.fillRect(x, LANE_OF[stage] * (lane + gap) + lane - level[x] * lane - tall, 1, tall);
        level[x] += tall / lane;
      }
    });
  }

  drawAxis(g, from, to, scale, width, height) {
    const wanted = (to - from) / Math.max(2, width / 110);
    const power = Math.pow(10, Math.floor(Math.log10(wanted)));
    const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= wanted);
    const [unit, name] = step >= 1000 ? [1000, " s"] : [1, " ms"];
    const digits = Math.max(0, -Math.floor(Math.log10(step / unit)));
    g.fillStyle = css("--soft");
    g.font = "11px system-ui, sans-serif";
    for (let t = Math.ceil(from / step) * step; t <= to; t += step) {
      const x = (t - from) * scale;
      const label = (t / unit).toFixed(digits) + name;
      g.fillRect(x, height - 24, 1, 5);
      const room = g.measureText(label).width;
      g.fillText(label, Math.min(Math.max(0, x - room / 2), width - room), height - 6);
    }
  }
}

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
document.querySelectorAll(".timeline").forEach((box) =>
  new Timeline(box, data.runs[Number(box.dataset.run)]));
