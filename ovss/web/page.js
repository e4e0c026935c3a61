// Names the category under the pointer, and darkens the others. `element` holds the results.
const ready = new WeakMap();

async function unpack(view) {
  const bytes = Uint8Array.from(atob(view.dataset.labels), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const labels = new Uint16Array(await new Response(stream).arrayBuffer());
  const canvas = view.querySelector("canvas");
  canvas.width = Number(view.dataset.width);
  canvas.height = Number(view.dataset.height);
  return { labels, canvas, names: JSON.parse(view.dataset.names), index: null };
}

function stateOf(view) {
  if (!ready.has(view)) ready.set(view, unpack(view));
  return ready.get(view);
}

function highlight(view, state, index) {
  if (state.index === index) return;
  state.index = index;
  const { canvas, labels } = state, context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  view.parentElement.querySelectorAll("tr[data-index]").forEach((row) => {
    row.classList.toggle("ovss-on", index !== null && Number(row.dataset.index) === index);
  });
  if (index === null) return;
  const shade = context.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(shade.data.buffer);
  for (let i = 0; i < labels.length; i++) if (labels[i] !== index) pixels[i] = 0x8c000000;
  context.putImageData(shade, 0, 0);
}

async function point(view, event) {
  const state = await stateOf(view), box = view.getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
  if (x < 0 || y < 0 || x >= 1 || y >= 1) return leave(view);
  const { width, height } = state.canvas;
  const index = state.labels[Math.floor(y * height) * width + Math.floor(x * width)];
  const output = view.querySelector(".ovss-hover");
  output.textContent = index === 65535 ? "unknown" : state.names[index];
  output.classList.add("ovss-on");
  const left = Math.min(x * box.width + 12, box.width - output.offsetWidth);
  output.style.left = `${Math.max(0, left)}px`;
  output.style.top = `${y * box.height + (y > 0.85 ? -34 : 16)}px`;
  highlight(view, state, index);
}

async function leave(view) {
  view.querySelector(".ovss-hover").classList.remove("ovss-on");
  if (ready.has(view)) highlight(view, await stateOf(view), null);
}

function viewAt(target) {
  return target instanceof Element ? target.closest(".ovss-view") : null;
}

function rowOf(target) {
  return target instanceof Element ? target.closest("tr[data-index]") : null;
}

let current = null;
function follow(event) {
  const view = viewAt(event.target);
  if (current && current !== view) leave(current);
  current = view;
  if (view) point(view, event);
}
element.addEventListener("pointermove", follow);
element.addEventListener("pointerdown", follow);
element.addEventListener("pointerleave", () => {
  if (current) leave(current);
  current = null;
});

async function showRow(event, on) {
  const row = rowOf(event.target);
  const view = row && row.closest(".ovss-card").querySelector(".ovss-view");
  if (view) highlight(view, await stateOf(view), on ? Number(row.dataset.index) : null);
}
element.addEventListener("mouseover", (event) => showRow(event, true));
element.addEventListener("mouseout", (event) => showRow(event, false));
element.addEventListener("focusin", (event) => showRow(event, true));
element.addEventListener("focusout", (event) => showRow(event, false));
