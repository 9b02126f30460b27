// The log of a device: asked for piece by piece, only while the page is seen and somebody wants it.
"use strict";
(() => {
  const KEPT = 1000;
  const SHAPE = /^\d\d-\d\d [\d:.]+ +\d+ +\d+ ([VDIWEF]) /;
  const LEVELS = "VDIWEF";
  const box = document.querySelector(".log-live");
  if (!box) return;
  const lines = box.querySelector("[role=log]");
  const says = box.querySelector("[role=status]");
  const start = box.querySelector("button[name=start]");
  const pause = box.querySelector("button[name=pause]");
  const words = box.querySelector("input");
  const level = box.querySelector("select");
  const state = { on: false, paused: false, after: 0, begun: 0, round: 0, held: [], dropped: 0 };

  async function follow(round) {
    while (state.on && round === state.round && !document.hidden) {
      let body, problem;
      try {
        const answer = await fetch(`${box.dataset.src}?after=${state.after}&limit=${KEPT}`);
        body = await answer.json();
        problem = answer.ok ? "" : body.detail;
      } catch (error) {
        // The server can not be reached, or what stands before it answers: it is tried again.
        if (!(error instanceof TypeError || error instanceof SyntaxError)) throw error;
        problem = box.dataset.away;
      }
      if (round !== state.round) return;
      if (problem) {
        says.textContent = problem;
        await new Promise((resolve) => setTimeout(resolve, 1000));
        continue;
      }
      if (body.begun !== state.begun) {   // followed anew: what is shown would come again
        lines.replaceChildren();
        state.held = [];
        state.dropped = 0;
        state.begun = body.begun;
      }
      state.after = body.after;
      take(body.items);
    }
  }

  function take(items) {
    if (state.paused) {
      state.held.push(...items);
      state.dropped += Math.max(0, state.held.length - KEPT);
      state.held = state.held.slice(-KEPT);
    } else {
      show(items);
    }
    tell();
  }

  function show(items) {
    const atEnd = lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 8;
    const fresh = document.createDocumentFragment();
    for (const item of items) fresh.append(row(item));
    lines.append(fresh);
    while (lines.childElementCount > KEPT) lines.firstElementChild.remove();
    lines.hidden = false;
    if (atEnd) lines.scrollTop = lines.scrollHeight;
  }

  function row(item) {
    const line = document.createElement("div");
    const found = SHAPE.exec(item.text);
    line.dataset.kind = item.kind === "line" && found ? found[1] : item.kind;
    line.textContent = item.kind === "missing" ? box.dataset.missing.replace("{0}", item.missing) : item.text;
    line.hidden = !fits(line);
    return line;
  }

  function fits(line) {
    const rank = LEVELS.indexOf(line.dataset.kind);
    if (rank < 0) return true;
    return rank >= LEVELS.indexOf(level.value) && line.textContent.toLowerCase().includes(words.value.toLowerCase());
  }

  function sift() {
    for (const line of lines.children) line.hidden = !fits(line);
    lines.scrollTop = lines.scrollHeight;
  }

  function tell() {
    const count = state.held.length + state.dropped;
    says.textContent = state.paused ? box.dataset.held.replace("{0}", count) : box.dataset.live;
  }

  function hold(paused) {
    state.paused = paused;
    pause.textContent = paused ? box.dataset.resume : box.dataset.pause;
    pause.setAttribute("aria-pressed", String(paused));
    if (!paused && state.on) {
      if (state.dropped) show([{ kind: "missing", text: "", missing: state.dropped }]);
      show(state.held);
      state.held = [];
      state.dropped = 0;
      tell();
    }
  }

  function turn(on) {
    if (!on) hold(false);
    state.on = on;
    state.round += 1;
    start.textContent = on ? box.dataset.stop : box.dataset.start;
    pause.disabled = !on;
    if (on) {
      says.textContent = box.dataset.wait;
      follow(state.round);
    } else {
      says.textContent = "";
    }
  }

  start.addEventListener("click", () => turn(!state.on));
  pause.addEventListener("click", () => hold(!state.paused));
  words.addEventListener("input", sift);
  level.addEventListener("change", sift);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && state.on) turn(true);
  });
})();
