// The same points in one view of another library: ?of=regl or ?of=plotly; ?of=plotly-line&n=… is a
// spectrum that `draw()` and `zoom()` show. `window.state` tells how far it is.
const WIDTH = 1280, HEIGHT = 800;
const COLOURS = ["#56b4e9", "#e69f00", "#2bb68a", "#f0e442"];
const box = document.getElementById("box");
const asked = new URLSearchParams(location.search);

async function points() {
  const bytes = await (await fetch("/peers/points")).arrayBuffer();
  const n = bytes.byteLength / 9;
  return {
    x: new Float32Array(bytes, 0, n), y: new Float32Array(bytes, 4 * n, n), kind: new Uint8Array(bytes, 8 * n, n),
  };
}

async function regl() {
  const { x, y, kind } = await points();
  const { default: createScatterplot } = await import("regl-scatterplot");
  const canvas = document.createElement("canvas");
  box.append(canvas);
  const plot = createScatterplot({
    canvas, width: WIDTH, height: HEIGHT, pointSize: 2, opacity: 0.75, mouseMode: "lasso", lassoMinDelay: 0,
    colorBy: "valueA", pointColor: COLOURS, aspectRatio: 1,
  });
  // a lasso that ends where it began counts as a click, too, on one point
  plot.subscribe("select", ({ points }) => points.length > 1 && (window.state = `selected ${points.length}`));
  await plot.draw({ x, y, valueA: kind });
  window.state = "drawn";
}

async function plotly() {
  const { x, y, kind } = await points();
  const { default: Plotly } = await import("plotly.js-dist-min");
  const marker = { size: 2, opacity: 0.75, color: Array.from(kind, (k) => COLOURS[k]) };
  const layout = { width: WIDTH, height: HEIGHT, dragmode: "lasso", margin: { l: 0, r: 0, t: 0, b: 0 },
    xaxis: { range: [-1, 1] }, yaxis: { range: [-1, 1], scaleanchor: "x" } };
  await Plotly.newPlot(box, [{ type: "scattergl", mode: "markers", x, y, marker }], layout);
  box.on("plotly_selected", (event) => (window.state = `selected ${event?.points.length ?? 0}`));
  window.state = "drawn";
}

async function line() {
  const { default: Plotly } = await import("plotly.js-dist-min");
  const n = Number(asked.get("n"));
  const x = Float64Array.from({ length: n }, (_, i) => 3780 + 0.01 * i);
  const y = Float32Array.from({ length: n }, () => Math.random());
  const layout = { width: WIDTH, height: 400, margin: { l: 40, r: 0, t: 0, b: 30 } };
  const told = (work) => () => {
    window.state = "busy";
    void work().then(() => (window.state = "drawn"));
  };
  window.draw = told(() => Plotly.newPlot(box, [{ type: "scattergl", mode: "lines", x, y, line: { width: 1 } }], layout));
  window.zoom = told(() => Plotly.relayout(box, { "xaxis.range": [5000, 5300] }));
  window.state = "ready";
}

await { regl, plotly, "plotly-line": line }[asked.get("of")]();
