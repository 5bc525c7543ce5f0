// The page is complete without this: it only keeps itself up to date while
// somebody looks at it, and can be told not to.
(function () {
  "use strict";
  var every = Number(document.body.dataset.refresh) * 1000;
  var said = document.getElementById("live");
  if (!every || !said || !window.fetch || !window.DOMParser) return;

  // What moves by itself can be stopped, and does not begin where the system
  // asks for less motion.
  var paused = matchMedia("(prefers-reduced-motion: reduce)").matches;
  var button = document.createElement("button");
  button.type = "button";
  button.addEventListener("click", function () { paused = !paused; name(); if (!paused) turn(); });
  said.parentNode.insertBefore(button, said);
  function name() { button.textContent = paused ? "Keep up to date" : "Stop updating"; }
  name();

  var timer = 0;
  var busy = false;
  var lost = false;
  function wait(ms) { clearTimeout(timer); timer = setTimeout(turn, ms || every); }

  // Nobody's typing, reading or selecting is disturbed.
  function occupied() {
    var at = document.activeElement;
    if (at && at.closest("form")) return true;
    var fields = Array.prototype.slice.call(document.querySelectorAll("input[type=password]"));
    if (fields.some(function (f) { return f.value; })) return true;
    var picked = window.getSelection();
    return Boolean(picked && !picked.isCollapsed);
  }

  function turn() {
    clearTimeout(timer);
    if (paused || busy) return;
    if (document.hidden || occupied()) return wait();
    busy = true;
    var stop = new AbortController();
    var limit = setTimeout(function () { stop.abort(); }, 8000);
    fetch(location.href, { credentials: "same-origin", cache: "no-store", signal: stop.signal })
      .then(function (answer) {
        if (!answer.ok) throw new Error("answered " + answer.status);
        return answer.text();
      })
      .then(function (text) {
        if (lost) tell("");
        lost = false;
        if (!paused && !occupied()) swap(new DOMParser().parseFromString(text, "text/html"));
      })
      .catch(function () { lost = true; tell("The worker does not answer. This is how things stood before."); })
      .then(function () { clearTimeout(limit); busy = false; wait(); });
  }

  function tell(text) { if (said.textContent !== text) said.textContent = text; }

  function swap(fresh) {
    var was = document.querySelector("h1").textContent;
    var open = {};
    Array.prototype.forEach.call(document.querySelectorAll("main details[id]"), function (d) { open[d.id] = d.open; });
    var at = document.activeElement;
    var mark = at && at.closest("main") ? path(at) : null;
    ["pages", "main", "asof"].forEach(function (id) {
      var from = fresh.getElementById(id);
      var to = document.getElementById(id);
      if (!from || !to || from.innerHTML === to.innerHTML) return;
      to.replaceChildren.apply(to, Array.prototype.slice.call(from.childNodes));
    });
    Object.keys(open).forEach(function (id) {
      var d = document.getElementById(id);
      if (d) d.open = open[id];
    });
    var again = mark && document.querySelector(mark);
    if (again && again !== document.activeElement) again.focus({ preventScroll: true });
    every = Number(fresh.body.dataset.refresh) * 1000 || every;
    document.title = fresh.title;
    var now = document.querySelector("h1").textContent;
    if (now !== was) tell(now);
  }

  // path finds the same element in the next page: by its place.
  function path(e) {
    var steps = [];
    for (; e && e.id !== "main"; e = e.parentElement) {
      if (e.id) { steps.unshift("#" + CSS.escape(e.id)); return steps.join(" > "); }
      steps.unshift(":nth-child(" + (1 + Array.prototype.indexOf.call(e.parentElement.children, e)) + ")");
    }
    return steps.length ? "#main > " + steps.join(" > ") : "#main";
  }

  document.addEventListener("visibilitychange", function () { if (!document.hidden) turn(); });
  window.addEventListener("beforeprint", function () {
    Array.prototype.forEach.call(document.querySelectorAll("details"), function (d) { d.open = true; });
  });
  wait();
})();
