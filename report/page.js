// The page is complete without this: it only adds a filter, and unfolds
// everything before printing.
(function () {
  "use strict";
  var box = document.getElementById("filter");
  var field = box && box.querySelector("input");
  var said = box && box.querySelector("output");
  var groups = Array.prototype.slice.call(document.querySelectorAll("details.rows"));
  if (!box || !groups.length) return;
  box.hidden = false;
  var opened = groups.map(function (d) { return d.open; });
  var timer = 0;
  function apply() {
    var want = field.value.trim().toLowerCase();
    var shown = 0;
    groups.forEach(function (d, i) {
      var hits = 0;
      Array.prototype.forEach.call(d.querySelectorAll("tbody"), function (row) {
        var hit = !want || row.textContent.toLowerCase().indexOf(want) >= 0;
        row.hidden = !hit;
        if (hit) hits++;
      });
      d.hidden = hits === 0;
      d.open = want ? hits > 0 : opened[i];
      shown += hits;
    });
    said.textContent = want ? shown + " found" : "";
  }
  field.addEventListener("input", function () {
    clearTimeout(timer);
    timer = setTimeout(apply, 120);
  });
  window.addEventListener("beforeprint", function () {
    groups.forEach(function (d) { d.open = true; });
  });
})();
