// Opens what a link of a list leads to in a drawer beside the list: the address says so (`data-drawer`), and the server
// draws it. Without this script, in a new tab or window, the same link leads to the page of its own.
"use strict";
(() => {
  const drawer = () => document.getElementById("drawer");
  const opened = () => drawer()?.dataset.task || "";
  const row = (task) => document.getElementById(`task-${task}`);
  let shown = opened();
  let inside = false;   // whether the keys go there
  let held = null;   // where on the screen the row is that somebody looked at

  function hold(task) {
    const link = row(task);
    held = link && { task, top: link.getBoundingClientRect().top };
  }

  // One step back in the history closes a drawer, however many tasks were looked at in it.
  function open(link) {
    const task = link.id.slice("task-".length);
    hold(task);
    if (opened()) history.replaceState(history.state, "", link.dataset.drawer);
    else history.pushState({ drawer: true }, "", link.dataset.drawer);
    document.dispatchEvent(new Event("doai:moved"));
    if (task === shown) drawer()?.focus({ preventScroll: true });
  }

  function close() {
    hold(shown);
    if (history.state?.drawer) { history.back(); return; }
    history.pushState(null, "", drawer().querySelector("[data-close]").href);
    document.dispatchEvent(new Event("doai:moved"));
  }

  // The list has another width now: the row stays where the eye is.
  function settle() {
    const link = held && row(held.task);
    if (link) window.scrollBy(0, link.getBoundingClientRect().top - held.top);
    held = null;
  }

  document.addEventListener("doai:drawn", () => {
    const before = shown;
    shown = opened();
    if (shown === before) {
      // The button that had the keys may be gone: what it did is done.
      if (shown && inside && document.activeElement === document.body) drawer().focus({ preventScroll: true });
      return;
    }
    if (shown) {
      drawer().scrollTop = 0;
      drawer().focus({ preventScroll: true });
    } else {
      (row(before) || document.getElementById("page")).focus({ preventScroll: true });
    }
    requestAnimationFrame(settle);
  });
  document.addEventListener("focusin", (event) => { inside = event.target.closest("#drawer") !== null; });
  window.addEventListener("popstate", () => document.dispatchEvent(new Event("doai:moved")));

  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest("a[data-drawer]");
    const closing = event.target.closest("[data-close]");
    if (!link && !closing) return;
    event.preventDefault();
    if (link) open(link); else close();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || !drawer()) return;
    if (event.target.matches("input, select, textarea")) return;   // there it is for what is typed
    close();
  });
})();
