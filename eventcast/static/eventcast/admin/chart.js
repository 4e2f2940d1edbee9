// A small chart of the last minutes: a line, its area, and the value at the top.

const SPAN = 300; // s
const WIDTH = 300;
const HEIGHT = 100;
export const GAP = 25; // s without a value are left blank: two and a half of the server's recording intervals
const SVG = "http://www.w3.org/2000/svg";

function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 5, 10].find((step) => step * power >= value);
}

export class Chart {
  constructor(figure) {
    this.now = figure.querySelector("b");
    this.top = figure.querySelector(".eventcast-top");
    this.points = [];
    [this.area, this.line] = ["area", "line"].map((name) => {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("class", `eventcast-${name}`);
      figure.querySelector("svg").append(path);
      return path;
    });
    this.format = new Intl.NumberFormat(document.documentElement.lang || undefined, { maximumFractionDigits: 1 });
  }

  // Times are in seconds and ascending.
  add(time, value) {
    this.points.push({ time, value });
    while (this.points[0].time < time - SPAN - GAP) this.points.shift();
    this.now.textContent = this.format.format(value);
    this.draw(time);
  }

  draw(now) {
    const top = ceiling(Math.max(1, ...this.points.map(({ value }) => value)));
    this.top.textContent = this.format.format(top);
    const runs = [];
    let last = -Infinity;
    for (const { time, value } of this.points) {
      if (time - last > GAP) runs.push([]);
      runs.at(-1).push([WIDTH * (1 - (now - time) / SPAN), HEIGHT * (1 - value / top)].map((at) => at.toFixed(1)));
      last = time;
    }
    this.line.setAttribute("d", runs.map((run) => `M${run.join("L")}`).join(""));
    this.area.setAttribute(
      "d",
      runs.map((run) => `M${run[0][0]},${HEIGHT}L${run.join("L")}L${run.at(-1)[0]},${HEIGHT}Z`).join(""),
    );
  }
}
