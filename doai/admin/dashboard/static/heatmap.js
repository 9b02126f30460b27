// The map of devices: one square each, drawn on a canvas so that thousands cost no more than a picture.
"use strict";
(() => {
  const COLOURS = {
    online: "--fill-good", unresponsive: "--fill-accent", unauthorized: "--fill-warn", offline: "--fill-bad",
    silent: "--fill-calm",
  };
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

  // All squares, once for each change; what the pointer does is drawn over a copy of it.
  function paint() {
    const scale = window.devicePixelRatio || 1;
    const style = getComputedStyle(document.documentElement);
    const probe = document.createElement("i");
    map.append(probe);
    const colour = {};
    for (const [state, name] of Object.entries(COLOURS)) {
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
    for (const [state] of Object.entries(COLOURS)) {
      context.fillStyle = colour[state];
      context.beginPath();
      squares.forEach((square, n) => {
        if (square[2] !== state) return;
        const [x, y, size] = [(n % columns) * side, Math.floor(n / columns) * side, side - gap];
        if (side > 8) context.roundRect(x, y, size, size, round);
        else context.rect(x, y, size, size);
      });
      context.fill();
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
    tip.textContent = square ? [square[1], square[0], map.getAttribute(`data-state-${square[2]}`), square[3]].filter(Boolean).join(" · ") : "";
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
      squares = told.squares.map(([serial, label, state, node]) => [serial, label, told.states[state], told.nodes[node]]);
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
