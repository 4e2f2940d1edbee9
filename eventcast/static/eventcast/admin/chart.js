// The charts of the last hour, subscribers and messages per second: a line, its area, and the value at the top.

const { format: fill, gettext } = eventcastPage;
const SPANS = [300, 900, 3600]; // s: the first that has room for what was recorded
const WIDTH = 300;
const HEIGHT = 100;
const GAP = 25; // s without a value are left blank: two and a half of the server's recording intervals
const SVG = "http://www.w3.org/2000/svg";

function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 5, 10].find((step) => step * power >= value);
}

function chart(figure) {
  const [shown, top, from] = ["b", ".eventcast-top", "p span"].map((each) => figure.querySelector(each));
  const [area, line] = ["area", "line"].map((name) => {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", `eventcast-${name}`);
    figure.querySelector("svg").append(path);
    return path;
  });
  const { format } = new Intl.NumberFormat(document.documentElement.lang || undefined, { maximumFractionDigits: 1 });

  // Points are [time, value], times in seconds and ascending.
  return (points, now, span) => {
    from.textContent = fill(gettext("%s min ago"), span / 60);
    if (points.length) shown.textContent = format(points.at(-1)[1]);
    const highest = ceiling(Math.max(1, ...points.map(([, value]) => value)));
    top.textContent = format(highest);
    const runs = [];
    let last = -Infinity;
    for (const [time, value] of points) {
      if (time - last > GAP) runs.push([]);
      runs.at(-1).push([WIDTH * (1 - (now - time) / span), HEIGHT * (1 - value / highest)].map((at) => at.toFixed(1)));
      last = time;
    }
    line.setAttribute("d", runs.map((run) => `M${run.join("L")}`).join(""));
    area.setAttribute("d", runs.map((run) => `M${run[0][0]},${HEIGHT}L${run.join("L")}L${run.at(-1)[0]},${HEIGHT}Z`).join(""));
  };
}

const draw = ["subscribers", "rate"].map((name) => chart(document.getElementById(`eventcast-chart-${name}`)));
let recorded = [];

// The time of the last point that the server has recorded.
export const after = () => recorded.at(-1)?.[0] ?? 0;

// Points are [time, subscribers, messages per second or null]. The last one is of now, and gives way to the next answer.
export function show(points) {
  const [now] = points.at(-1);
  recorded = [...recorded, ...points.slice(0, -1)].filter(([time]) => time > now - SPANS.at(-1));
  const all = [...recorded, points.at(-1)];
  const span = SPANS.find((each) => each >= now - all[0][0]);
  draw.forEach((each, index) => each(all.map((point) => [point[0], point[1 + index]]).filter(([, value]) => value != null), now, span));
}
