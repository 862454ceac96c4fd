// Charts as SVG: lines in a frame with a few numbers at its edges.

const WIDTH = 380, HEIGHT = 220, LEFT = 52, RIGHT = 10, TOP = 10, BOTTOM = 30;

const node = (name, attributes, text) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
};

const shown = (value) => (value !== 0 && (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-2) ? value.toExponential(1) : String(+value.toPrecision(3)));

// Round numbers between two, some four of them.
const ticks = (low, high) => {
  const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((one) => one * power >= rough) ?? 10);
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high + step * 1e-9; at++) found.push(at * step);
  return found;
};

const range = (values) => {
  let low = Infinity, high = -Infinity;
  for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
  const room = (high - low || Math.abs(high) || 1) * 0.05;
  return [low - room, high + room];
};

// Draws lines of {points: [[x, y] ...], colour, faint, dashed, name, dots} into a figure; without any points nothing.
export const draw = (figure, lines, { x, y }) => {
  lines = lines.filter((line) => line.points.length);
  figure.querySelector("svg")?.remove();
  if (!lines.length) return;
  const all = lines.flatMap((line) => line.points);
  const [left, right] = range(all.map((point) => point[0])), [low, high] = range(all.map((point) => point[1]));
  const across = (value) => LEFT + ((value - left) / (right - left)) * (WIDTH - LEFT - RIGHT);
  const up = (value) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const title = figure.querySelector("b").textContent;
  const svg = node("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
  for (const tick of ticks(low, high)) {
    svg.append(node("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: up(tick), y2: up(tick) }));
    svg.append(node("text", { x: LEFT - 5, y: up(tick) + 4, "text-anchor": "end" }, shown(tick)));
  }
  for (const tick of ticks(left, right)) svg.append(node("text", { x: across(tick), y: HEIGHT - 16, "text-anchor": "middle" }, shown(tick)));
  svg.append(node("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 3, "text-anchor": "middle" }, x));
  svg.append(node("text", { x: 10, y: (HEIGHT - BOTTOM) / 2, "text-anchor": "middle", transform: `rotate(-90 10 ${(HEIGHT - BOTTOM) / 2})` }, y));
  let named = 0;
  for (const line of lines) {
    const colour = `c${(line.colour ?? 0) % 4}`;
    const course = line.points.map(([a, b], i) => `${i ? "L" : "M"}${across(a).toFixed(1)} ${up(b).toFixed(1)}`).join("");
    svg.append(node("path", { d: course, class: `${colour}${line.faint ? " faint" : ""}${line.dashed ? " dashed" : ""}` }));
    const dots = line.dots ? line.points : line.points.slice(-1);
    if (!line.faint && !line.dashed) dots.forEach(([a, b], i) => svg.append(node("circle", { cx: across(a), cy: up(b), r: i === dots.length - 1 ? 4 : 2, class: colour })));
    if (line.name) svg.append(node("text", { x: WIDTH - RIGHT - 4, y: TOP + 12 + 14 * named++, "text-anchor": "end", class: colour }, line.name));
  }
  figure.append(svg);
};
