// Checks a workflow while it is typed: the same check as storing it, with line and column of each mistake.
"use strict";
(() => {
  const PAUSE_MS = 300;
  const form = document.querySelector("form.editor");
  if (!form) return;
  const text = form.elements.source;
  const lines = form.querySelector("pre");
  const says = form.querySelector(".says");
  const list = form.querySelector(".mistakes");
  const state = { timer: 0, round: 0 };

  function number(wrong) {
    const count = text.value.split("\n").length;
    lines.replaceChildren(...Array.from({ length: count }, (_, n) => {
      const line = document.createElement("span");
      line.textContent = `${n + 1}\n`;
      if (wrong.has(n + 1)) line.className = "wrong";
      return line;
    }));
    lines.scrollTop = text.scrollTop;
  }

  function show(mistakes) {
    number(new Set(mistakes.map((each) => each.line)));
    list.replaceChildren(...mistakes.map((each) => {
      const item = document.createElement("li");
      const place = document.createElement("button");
      place.type = "button";
      place.className = "link";
      place.dataset.line = each.line;
      place.dataset.column = each.column;
      place.textContent = form.dataset.place.replace("{0}", each.line).replace("{1}", each.column);
      item.append(place, ` ${each.message}`);
      return item;
    }));
  }

  async function check() {
    const round = ++state.round;
    try {
      const answer = await fetch("/api/v1/workflow-checks", {
        method: "POST",
        headers: { "Content-Type": "application/yaml", "X-CSRF-Token": form.elements.csrf.value },
        body: text.value,
      });
      const told = await answer.json();
      if (round !== state.round) return;
      form.dataset.checked = round;
      says.className = answer.ok ? "says good" : "says bad";
      says.textContent = answer.ok ? form.dataset.well.replace("{0}", told.steps) : told.detail;
      show(told.mistakes || []);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      says.className = "says bad";
      says.textContent = form.dataset.away;
    }
  }

  text.addEventListener("input", () => {
    number(new Set());
    clearTimeout(state.timer);
    state.timer = setTimeout(check, PAUSE_MS);
  });
  text.addEventListener("scroll", () => { lines.scrollTop = text.scrollTop; });
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Tab" || event.shiftKey || event.ctrlKey || event.altKey) return;
    if (text.selectionStart === text.selectionEnd && text.dataset.escaped) return;
    event.preventDefault();
    text.setRangeText("  ", text.selectionStart, text.selectionEnd, "end");
    text.dispatchEvent(new Event("input"));
  });
  // Escape, then Tab leaves the field: nobody is locked in.
  text.addEventListener("keyup", (event) => {
    if (event.key === "Escape") text.dataset.escaped = "yes";
    else if (event.key !== "Tab") delete text.dataset.escaped;
  });
  list.addEventListener("click", (event) => {
    const { line, column } = event.target.dataset;
    if (!line) return;
    const before = text.value.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    text.focus();
    text.setSelectionRange(before + Number(column) - 1, before + Number(column));
  });
  check();
})();
