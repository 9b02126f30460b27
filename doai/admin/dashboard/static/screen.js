// The live screen of a device: asked for picture by picture, only while the page is seen and somebody wants it.
"use strict";
(() => {
  const OLD_MS = 2000;
  const box = document.querySelector(".screen-live");
  if (!box) return;
  const button = box.querySelector("button");
  const canvas = box.querySelector("canvas");
  const says = box.querySelector("p");
  const state = { on: false, n: 0, takenMs: 0, round: 0 };

  async function follow(round) {
    while (state.on && round === state.round && !document.hidden) {
      let answer, picture, problem;
      try {
        answer = await fetch(`${box.dataset.src}?after=${state.n}`);
        problem = answer.ok ? "" : (await answer.json()).detail;
        picture = answer.status === 200 ? await createImageBitmap(await answer.blob()) : null;
      } catch (error) {
        // The server can not be reached, or what stands before it answers: it is tried again.
        if (!(error instanceof TypeError || error instanceof SyntaxError)) throw error;
        problem = box.dataset.away;
      }
      if (round !== state.round) return;
      if (problem) {
        says.textContent = problem;
        await new Promise((resolve) => setTimeout(resolve, 1000));
      } else if (picture) {
        canvas.width = picture.width;
        canvas.height = picture.height;
        canvas.getContext("2d").drawImage(picture, 0, 0);
        canvas.hidden = false;
        state.n = Number(answer.headers.get("X-Picture"));
        state.takenMs = performance.now();
        box.dataset.pictures = Number(box.dataset.pictures || 0) + 1;
        tell();
      }
    }
  }

  function tell() {
    if (!state.on || !state.takenMs) return;
    const ageMs = performance.now() - state.takenMs;
    canvas.classList.toggle("old", ageMs > OLD_MS);
    says.textContent = ageMs > OLD_MS ? box.dataset.old.replace("{0}", Math.round(ageMs / 1000)) : box.dataset.live;
  }

  function turn(on) {
    state.on = on;
    state.round += 1;
    button.textContent = on ? box.dataset.stop : box.dataset.start;
    if (on) {
      says.textContent = box.dataset.wait;
      follow(state.round);
    } else {
      says.textContent = "";
      canvas.hidden = true;
      state.takenMs = 0;
    }
  }

  button.addEventListener("click", () => turn(!state.on));
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && state.on) turn(true);
  });
  setInterval(tell, 500);
})();
