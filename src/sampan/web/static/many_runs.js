// Parallel coordinates and scatter over many runs. The server's answer is columns; a view (ranges on axes) is part of the address.
// Lines are drawn in slices of a frame, so that 10,000 of them never hold the page up.
const box = document.getElementById("many");
const parallel = document.getElementById("parallel");
const scatter = document.getElementById("scatter");
const SLICE = 1000, STROKE = 20; // lines a frame, lines a stroke
const PAD = { left: 44, right: 44, top: 30, bottom: 26 };
const HUES = ["--c6", "--c1", "--c3", "--c5", "--c2"];

class Axis {
  constructor(name, values) {
    this.name = name;
    const numbers = values.map((value) => (value === null || value === "" ? NaN : Number(value)));
    const isNumber = values.every((value, i) => value === null || !Number.isNaN(numbers[i]));
    if (isNumber) {
      this.at = numbers;
      const finite = numbers.filter(Number.isFinite);
      this.low = finite.length ? finite.reduce((a, b) => Math.min(a, b)) : 0;
      this.high = finite.length ? finite.reduce((a, b) => Math.max(a, b)) : 1;
      this.words = null;
    } else {
      this.words = [...new Set(values.filter((value) => value !== null).map(String))].sort();
      const place = new Map(this.words.map((word, i) => [word, i]));
      this.at = values.map((value) => (value === null ? NaN : place.get(String(value))));
      this.low = 0;
      this.high = Math.max(this.words.length - 1, 1);
    }
    if (this.high === this.low) { this.high += 0.5; this.low -= 0.5; }
    this.range = null;
  }
  share(i) { return (this.at[i] - this.low) / (this.high - this.low); }
  keeps(i) { return !this.range || (this.at[i] >= this.range[0] && this.at[i] <= this.range[1]); }
  word(value) { return this.words ? (this.words[Math.round(value)] ?? "") : Number(value.toPrecision(4)).toString(); }
}

function fit(canvas, height) {
  const ratio = devicePixelRatio || 1;
  const width = canvas.clientWidth || 800;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return [context, width, height];
}

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

class View {
  constructor(answer) {
    this.runs = answer.runs;
    this.titles = answer.titles;
    this.found = answer.n_found;
    this.axes = box.dataset.axes.split(" ").map((name) => new Axis(name, answer.columns[name]));
    this.color = new Axis(box.dataset.color, answer.columns[box.dataset.color]);
    this.x = new Axis(box.dataset.x, answer.columns[box.dataset.x]);
    this.y = new Axis(box.dataset.y, answer.columns[box.dataset.y]);
    this.drawing = 0;
    this.read();
  }
  read() {
    const asked = new URLSearchParams(location.search);
    for (const axis of this.axes) {
      const said = asked.get(`range.${axis.name}`);
      if (said) axis.range = said.split(":").map(Number);
    }
  }
  write() {
    const address = new URL(location.href);
    for (const axis of this.axes) {
      if (axis.range) address.searchParams.set(`range.${axis.name}`, axis.range.map((end) => end.toPrecision(6)).join(":"));
      else address.searchParams.delete(`range.${axis.name}`);
    }
    history.replaceState(null, "", address);
  }
  hue(i) {
    const share = this.color.share(i);
    return Number.isNaN(share) ? -1 : Math.min(Math.floor(share * HUES.length), HUES.length - 1);
  }
  draw() {
    const mine = ++this.drawing;
    this.kept = [];
    for (let i = 0; i < this.runs.length; i++) if (this.axes.every((axis) => axis.keeps(i))) this.kept.push(i);
    document.getElementById("count").textContent = `${this.kept.length.toLocaleString()} / ${this.found.toLocaleString()} ${box.dataset.found}`;
    const groups = HUES.map(() => []);
    for (const i of this.kept) { const hue = this.hue(i); if (hue >= 0) groups[hue].push(i); }
    this.drawScatter(groups);
    this.drawAxes();
    const alpha = Math.max(0.04, Math.min(0.8, 220 / (this.kept.length + 1)));
    const work = groups.flatMap((group, hue) => {
      const slices = [];
      for (let i = 0; i < group.length; i += SLICE) slices.push([hue, group.slice(i, i + SLICE)]);
      return slices;
    });
    const step = () => {
      if (mine !== this.drawing) return;
      const next = work.shift();
      if (!next) { parallel.dataset.drawn = String(this.kept.length); return; }
      this.drawLines(next[1], style(HUES[next[0]]), alpha);
      requestAnimationFrame(step);
    };
    step();
  }
  place(k) { return PAD.left + (this.axes.length > 1 ? (k / (this.axes.length - 1)) * (this.width - PAD.left - PAD.right) : 0); }
  height_of(share) { return this.height - PAD.bottom - share * (this.height - PAD.top - PAD.bottom); }
  drawLines(some, color, alpha) {
    const c = this.context;
    c.strokeStyle = color;
    c.globalAlpha = alpha;
    c.lineWidth = 1.2;
    c.beginPath();
    // A few lines a stroke: what lies under more lines gets darker, as it would not within one stroke.
    some.forEach((i, nth) => {
      if (nth % STROKE === STROKE - 1) { c.stroke(); c.beginPath(); }
      let pen = false;
      for (let k = 0; k < this.axes.length; k++) {
        const share = this.axes[k].share(i);
        if (Number.isNaN(share)) { pen = false; continue; }
        if (pen) c.lineTo(this.place(k), this.height_of(share)); else c.moveTo(this.place(k), this.height_of(share));
        pen = true;
      }
    });
    c.stroke();
    c.globalAlpha = 1;
  }
  drawAxes() {
    [this.context, this.width, this.height] = fit(parallel, 360);
    parallel.dataset.drawn = "";
    const c = this.context;
    c.clearRect(0, 0, this.width, this.height);
    c.font = "12px system-ui, sans-serif";
    this.axes.forEach((axis, k) => {
      const x = this.place(k);
      c.strokeStyle = style("--soft");
      c.lineWidth = 1;
      c.beginPath(); c.moveTo(x, PAD.top); c.lineTo(x, this.height - PAD.bottom); c.stroke();
      c.fillStyle = style("--ink");
      c.textAlign = k === 0 ? "left" : k === this.axes.length - 1 ? "right" : "center";
      const edge = k === 0 ? 4 : k === this.axes.length - 1 ? this.width - 4 : x;
      c.fillText(axis.name, edge, 12);
      c.fillStyle = style("--soft");
      c.fillText(axis.word(axis.high), edge, PAD.top - 5);
      c.fillText(axis.word(axis.low), edge, this.height - 8);
      if (axis.range) {
        const [top, bottom] = [axis.range[1], axis.range[0]].map((end) => this.height_of((end - axis.low) / (axis.high - axis.low)));
        c.fillStyle = style("--accent"); c.globalAlpha = 0.25;
        c.fillRect(x - 7, top, 14, Math.max(bottom - top, 2));
        c.globalAlpha = 1;
      }
    });
  }
  drawScatter(groups) {
    const [c, width, height] = fit(scatter, 300);
    this.points = { width, height };
    c.clearRect(0, 0, width, height);
    c.strokeStyle = style("--line");
    c.strokeRect(PAD.left, PAD.top, width - PAD.left - PAD.right, height - PAD.top - PAD.bottom);
    groups.forEach((group, hue) => {
      c.fillStyle = style(HUES[hue]);
      c.globalAlpha = Math.max(0.15, Math.min(0.9, 1500 / (this.kept.length + 1)));
      for (const i of group) {
        const [x, y] = this.point(i);
        if (!Number.isNaN(x + y)) c.fillRect(x - 1.6, y - 1.6, 3.2, 3.2);
      }
    });
    c.globalAlpha = 1;
    c.fillStyle = style("--soft");
    c.font = "12px system-ui, sans-serif";
    c.fillText(this.y.word(this.y.high), 2, PAD.top + 4); c.fillText(this.y.word(this.y.low), 2, height - PAD.bottom);
    c.fillText(this.x.word(this.x.low), PAD.left, height - 8);
    c.textAlign = "right"; c.fillText(this.x.word(this.x.high), width - PAD.right, height - 8);
  }
  point(i) {
    const { width, height } = this.points;
    return [PAD.left + this.x.share(i) * (width - PAD.left - PAD.right), height - PAD.bottom - this.y.share(i) * (height - PAD.top - PAD.bottom)];
  }
  nearest(x, y) {
    let best = -1, least = 144;
    for (const i of this.kept) {
      const [px, py] = this.point(i), away = (px - x) ** 2 + (py - y) ** 2;
      if (away < least) { least = away; best = i; }
    }
    return best;
  }
}

function listen(view) {
  const again = () => { view.write(); showRanges(view); view.draw(); };
  let from = null;
  const value = (axis, event) => {
    const share = (view.height - PAD.bottom - (event.clientY - parallel.getBoundingClientRect().top)) / (view.height - PAD.top - PAD.bottom);
    return axis.low + Math.max(0, Math.min(1, share)) * (axis.high - axis.low);
  };
  parallel.addEventListener("pointerdown", (event) => {
    const x = event.clientX - parallel.getBoundingClientRect().left;
    const k = view.axes.findIndex((_, k) => Math.abs(view.place(k) - x) < 16);
    if (k < 0) return;
    from = [view.axes[k], value(view.axes[k], event)];
    parallel.setPointerCapture(event.pointerId);
  });
  parallel.addEventListener("pointermove", (event) => {
    if (!from) return;
    const end = value(from[0], event);
    from[0].range = [Math.min(from[1], end), Math.max(from[1], end)];
    view.draw();
  });
  parallel.addEventListener("pointerup", (event) => {
    if (!from) return;
    const axis = from[0], moved = Math.abs(value(axis, event) - from[1]) / (axis.high - axis.low);
    if (moved < 0.01) axis.range = null;
    from = null;
    again();
  });
  scatter.addEventListener("pointermove", (event) => {
    const edge = scatter.getBoundingClientRect(), i = view.nearest(event.clientX - edge.left, event.clientY - edge.top);
    const under = document.getElementById("under");
    under.textContent = i < 0 ? "" : `${view.titles[i] || view.runs[i].slice(0, 12)}: ${view.y.word(view.y.at[i])}`;
    if (i >= 0) under.href = `/runs/${view.runs[i]}`;
  });
  scatter.addEventListener("click", () => { const under = document.getElementById("under"); if (under.textContent) location.href = under.href; });
  document.getElementById("clear").addEventListener("click", () => { view.axes.forEach((axis) => { axis.range = null; }); again(); });
  addEventListener("resize", () => view.draw());
  showRanges(view);
  document.getElementById("ranges").addEventListener("change", (event) => {
    const axis = view.axes[Number(event.target.dataset.axis)];
    const ends = ["low", "high"].map((end) => document.getElementById(`${end}-${event.target.dataset.axis}`).value);
    axis.range = ends[0] === "" && ends[1] === "" ? null : [ends[0] === "" ? axis.low : Number(ends[0]), ends[1] === "" ? axis.high : Number(ends[1])];
    again();
  });
}

// The same ranges as fields, for the keyboard.
function showRanges(view) {
  const place = document.getElementById("ranges");
  place.replaceChildren(...view.axes.flatMap((axis, k) => ["low", "high"].map((end, at) => {
    const label = document.createElement("label");
    label.textContent = `${axis.name} ${at ? box.dataset.to : box.dataset.from}`;
    const input = document.createElement("input");
    Object.assign(input, { type: "number", step: "any", id: `${end}-${k}`, value: axis.range ? String(Number(axis.range[at].toPrecision(6))) : "" });
    input.dataset.axis = String(k);
    label.append(input);
    return label;
  })));
}

if (box) {
  const answer = await fetch(box.dataset.source, { headers: { accept: "application/json" } });
  if (answer.ok) {
    const view = new View(await answer.json());
    listen(view);
    view.draw();
  } else document.getElementById("count").textContent = answer.statusText;
}
