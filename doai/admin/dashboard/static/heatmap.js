// The map of devices: one square each, drawn on a canvas so that thousands cost no more than a picture.
"use strict";
(() => {
  const COLOURS = {
    online: "--fill-good", unresponsive: "--fill-accent", unauthorized: "--fill-warn", offline: "--fill-bad",
    silent: "--fill-calm",
  };
  // Out of service: a colour and a mark of its own, so that neither has to be told by colour alone.
  const SERVICES = { quarantined: "--fill-quarantined", probing: "--fill-probing", held: "--fill-held" };
  const EVERY_MS = 1500;
  const map = document.querySelector(".map");
  if (!map) return;
  const canvas = map.querySelector("canvas");
  const back = document.createElement("canvas");
  const tip = map.querySelector(".tip");
  let squares = [];
  let side = 12;
  let columns = 1;
  let chosen = -1;
  let etag = "";

  function layout() {
    const width = canvas.clientWidth;
    const height = Math.max(160, Math.min(560, window.innerHeight - 320));
    side = Math.max(5, Math.min(44, Math.floor(Math.sqrt((width * height) / Math.max(1, squares.length)))));
    columns = Math.max(1, Math.floor(width / side));
    const rows = Math.ceil(squares.length / columns);
    const scale = window.devicePixelRatio || 1;
    canvas.height = Math.max(side, rows * side) * scale;
    canvas.width = width * scale;
    canvas.style.height = `${Math.max(side, rows * side)}px`;
  }

  // What is drawn in a square of its own: a cross, a half, a dot.
  const MARKS = {
    quarantined: (context, x, y, size) => {
      const [near, mid, far, half] = [0.2, 0.5, 0.8, 0.1];
      const outline = [
        [near, near + half], [near + half, near], [mid, mid - half], [far - half, near], [far, near + half],
        [mid + half, mid], [far, far - half], [far - half, far], [mid, mid + half], [near + half, far],
        [near, far - half], [mid - half, mid],
      ];
      outline.forEach(([right, down], n) => context[n ? "lineTo" : "moveTo"](x + right * size, y + down * size));
      context.closePath();
    },
    probing: (context, x, y, size) => {
      context.moveTo(x, y);
      context.lineTo(x + size, y + size);
      context.lineTo(x, y + size);
      context.closePath();
    },
    held: (context, x, y, size) => {
      context.moveTo(x + size * 0.75, y + size / 2);
      context.arc(x + size / 2, y + size / 2, size * 0.25, 0, 2 * Math.PI);
    },
  };

  // All squares, once for each change; what the pointer does is drawn over a copy of it.
  function paint() {
    const scale = window.devicePixelRatio || 1;
    const style = getComputedStyle(document.documentElement);
    const probe = document.createElement("i");
    map.append(probe);
    const colour = {};
    for (const [state, name] of Object.entries({ ...COLOURS, ...SERVICES, mark: "--mark" })) {
      probe.style.color = style.getPropertyValue(name);
      colour[state] = getComputedStyle(probe).color;
    }
    probe.remove();
    back.width = canvas.width;
    back.height = canvas.height;
    const context = back.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    const gap = side > 8 ? 2 : 1;
    const round = Math.min(4, side / 4);
    const fill = (name, isIt, shape) => {
      context.fillStyle = colour[name];
      context.beginPath();
      squares.forEach((square, n) => {
        if (isIt(square)) shape((n % columns) * side, Math.floor(n / columns) * side, side - gap);
      });
      context.fill();
    };
    const box = (x, y, size) => {
      if (side > 8) context.roundRect(x, y, size, size, round);
      else context.rect(x, y, size, size);
    };
    for (const state of Object.keys(COLOURS)) fill(state, (square) => square[2] === state, box);
    const edge = side > 8 ? Math.max(1, Math.round(side / 10)) : 0;
    const inner = (x, y, size) => context.rect(x + edge, y + edge, size - 2 * edge, size - 2 * edge);
    for (const service of Object.keys(SERVICES)) {
      const isIt = (square) => square[4] === service;
      fill(service, isIt, inner);
      if (side > 8) fill("mark", isIt, (x, y, size) => MARKS[service](context, x + edge, y + edge, size - 2 * edge));
    }
    draw();
  }

  function draw() {
    const scale = window.devicePixelRatio || 1;
    const gap = side > 8 ? 2 : 1;
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (back.width && back.height) context.drawImage(back, 0, 0);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    if (chosen >= 0) {
      context.lineWidth = 2;
      context.strokeStyle = getComputedStyle(document.body).color;
      context.strokeRect((chosen % columns) * side, Math.floor(chosen / columns) * side, side - gap, side - gap);
    }
  }

  function say() {
    const square = squares[chosen];
    const word = (name) => name && map.getAttribute(`data-state-${name}`);
    tip.textContent = square
      ? [square[1], square[0], word(square[2]), square[3], word(square[4]), square[5]].filter(Boolean).join(" · ") : "";
  }

  function choose(n) {
    chosen = Math.max(-1, Math.min(squares.length - 1, n));
    say();
    requestAnimationFrame(draw);
  }

  function at(event) {
    const box = canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left) / side);
    return column >= columns ? -1 : Math.floor((event.clientY - box.top) / side) * columns + column;
  }

  function open() {
    if (squares[chosen]) location.href = `/devices/${encodeURIComponent(squares[chosen][0])}`;
  }

  async function load() {
    if (document.hidden) return;
    try {
      const answer = await fetch(map.dataset.src, etag ? { headers: { "If-None-Match": etag } } : {});
      if (answer.status === 304 || !answer.ok) return;
      etag = answer.headers.get("ETag") || "";
      const told = await answer.json();
      squares = told.squares.map(([serial, label, state, node, ...out]) => [serial, label, told.states[state], told.nodes[node], ...out]);
      map.querySelector(".left").textContent = told.left ? map.dataset.left.replace("{0}", told.left) : "";
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      return;
    }
    layout();
    paint();
    map.dataset.squares = squares.length;
  }

  canvas.addEventListener("mousemove", (event) => choose(at(event)));
  canvas.addEventListener("click", (event) => { choose(at(event)); open(); });
  canvas.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
    if (event.key in steps) { choose(chosen + steps[event.key]); event.preventDefault(); }
    if (event.key === "Enter") open();
  });
  window.addEventListener("resize", () => { layout(); paint(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  load();
  setInterval(load, EVERY_MS);
})();
