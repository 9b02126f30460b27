// Draws the charts of a page with uPlot, to be read value by value: the pointer or the arrow keys choose a time, dragging
// shows a part of it, a double click all again. The curves of the template are the same numbers, for whoever has no script.
"use strict";
(() => {
  const FILLS = { passed: "--fill-good", failed: "--fill-bad", median: "--fill-accent", high: "--fill-warn" };
  const HEIGHT = 170;
  const charts = new Map();    // the element that is drawn into -> { plot, text, told, whole }

  function colours() {
    const probe = document.createElement("i");
    const style = getComputedStyle(document.documentElement);
    document.body.append(probe);
    const found = {};
    for (const name of [...Object.values(FILLS), "--dim", "--line"]) {
      probe.style.color = style.getPropertyValue(name);
      found[name] = getComputedStyle(probe).color;
    }
    probe.remove();
    return found;
  }

  function clockOf(zone, more) {
    const wish = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...more };
    try {
      return new Intl.DateTimeFormat("sv", { ...wish, timeZone: zone || undefined });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return new Intl.DateTimeFormat("sv", wish);    // a zone that this browser does not know
    }
  }

  // Counts are told whole, however large; of what is measured three digits say enough.
  const amount = (value, unit) => `${Math.abs(value) < 100 ? Number(value.toPrecision(3)) : Math.round(value)}${unit ? ` ${unit}` : ""}`;

  // As wide as the longest label, and a gap to the chart.
  function widthOf(plot, labels) {
    plot.ctx.font = `${12 * devicePixelRatio}px sans-serif`;
    const widest = Math.max(0, ...(labels ?? []).map((label) => plot.ctx.measureText(label).width));
    return Math.ceil(widest / devicePixelRatio) + 14;
  }

  // Bars stand on each other: the first is drawn as the sum of all, and what comes after it over it.
  function dataOf(told) {
    const values = told.series.map((each) => each.values);
    if (!told.bars) return [told.x, ...values];
    return [told.x, ...values.map((_, n) => told.x.map((__, at) => values.slice(n).reduce((sum, each) => sum + each[at], 0)))];
  }

  // A value between two gaps has no line.
  function alone(plot, series) {
    const values = plot.data[series];
    return values.map((value, n) => (value !== null && values[n - 1] == null && values[n + 1] == null ? n : -1)).filter((n) => n >= 0);
  }

  function optionsOf(chart, box, tip) {
    const { told } = chart;
    const colour = colours();
    const clock = clockOf(told.zone);
    const half = told.bars && told.x.length > 1 ? (told.x[1] - told.x[0]) / 2 : 0;
    const axis = { stroke: colour["--dim"], grid: { stroke: colour["--line"], width: 1 }, ticks: { show: false }, font: "12px sans-serif" };
    return {
      width: Math.max(120, box.clientWidth),
      height: HEIGHT,
      padding: [8, 20, 0, 0],    // half of a time at the end
      legend: { show: false },
      cursor: { y: false, points: { show: !told.bars, size: 7 } },
      scales: {
        x: { range: (_, low, high) => [low - half, high + half] },
        y: { range: (_, __, high) => (told.low === null ? [0, high > 0 ? high * 1.05 : 1] : [told.low, told.high]) },
      },
      axes: [
        { ...axis, size: 26, values: (_, times) => times.map((s) => clock.format(s * 1000)) },
        { ...axis, size: widthOf, values: (_, values) => values.map((value) => amount(value, told.unit)) },
      ],
      series: [{}, ...told.series.map((each) => ({
        stroke: told.bars ? undefined : colour[FILLS[each.look]],
        fill: told.bars ? colour[FILLS[each.look]] : undefined,
        width: 2,
        dash: each.look === "high" ? [4, 4] : undefined,
        paths: told.bars ? uPlot.paths.bars({ size: [0.7, 40] }) : undefined,
        points: told.bars ? { show: false } : { show: false, size: 5, fill: colour[FILLS[each.look]], filter: alone },
      }))],
      hooks: {
        setCursor: [(plot) => { tip.textContent = said(chart.told, plot.cursor.idx); }],
        setSelect: [(plot) => part(chart, box, plot.select.width > 0)],
      },
    };
  }

  function said(told, n) {
    if (n === null || n === undefined) return "";
    const values = told.series.map(({ label, values }) => `${label} ${values[n] === null ? "-" : amount(values[n], told.unit)}`);
    return [clockOf(told.zone, { year: "numeric", month: "2-digit", day: "2-digit" }).format(told.x[n] * 1000), ...values.reverse()].join(" · ");
  }

  function make(figure, box, text) {
    const tip = document.createElement("p");
    tip.className = "tip";
    tip.setAttribute("role", "status");
    const chart = { text, told: JSON.parse(text), whole: true };
    chart.plot = new uPlot(optionsOf(chart, box, tip), dataOf(chart.told), box);
    chart.plot.over.addEventListener("dblclick", () => part(chart, box, false));
    box.append(tip);
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", figure.querySelector("svg").getAttribute("aria-label"));
    box.tabIndex = 0;
    box.onkeydown = (event) => step(chart, event);
    charts.set(box, chart);
    widths.observe(box);
  }

  function step(chart, event) {
    const { plot, told } = chart;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) {
      const last = told.x.length - 1;
      const n = Math.max(0, Math.min(last, (plot.cursor.idx ?? (by > 0 ? -1 : last + 1)) + by));
      plot.setCursor({ left: plot.valToPos(told.x[n], "x"), top: 0 });
      event.preventDefault();
    }
    if (event.key === "Escape") { part(chart, event.currentTarget, false); plot.setData(dataOf(told)); }
  }

  function part(chart, box, isPart) {
    chart.whole = !isPart;
    box.classList.toggle("part", isPart);
  }

  function drop(box) {
    charts.get(box).plot.destroy();
    widths.unobserve(box);
    charts.delete(box);
    box.replaceChildren();
  }

  // The page was drawn anew: what is shown of it stays, with the new numbers.
  function look() {
    for (const box of [...charts.keys()]) if (!box.isConnected) drop(box);
    for (const figure of document.querySelectorAll(".plot")) {
      const box = figure.querySelector(".drawn");
      const text = figure.querySelector("svg").dataset.plot;
      const chart = charts.get(box);
      if (!chart) make(figure, box, text);
      else if (chart.text !== text) {
        Object.assign(chart, { text, told: JSON.parse(text) });
        chart.plot.setData(dataOf(chart.told), chart.whole);
        if (!chart.whole) chart.plot.redraw();
      }
    }
  }

  const widths = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const chart = charts.get(target);
      const width = Math.max(120, target.clientWidth);
      if (chart && chart.plot.width !== width) chart.plot.setSize({ width, height: HEIGHT });
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const box of [...charts.keys()]) drop(box);
    look();
  });
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributeFilter: ["data-plot"] });
  look();
})();
