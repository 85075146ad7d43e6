// Says in words that the page cannot run here. Plain old JavaScript, since it is
// for browsers that do not know what the rest of the page is written in.

(function () {
  "use strict";
  var misread = false;

  function knows(name) {
    return typeof window[name] === "function" || typeof window[name] === "object" && window[name] !== null;
  }

  function canCall() {
    return knows("RTCPeerConnection") && "addTransceiver" in window.RTCPeerConnection.prototype
      && "connectionState" in window.RTCPeerConnection.prototype && knows("WebSocket");
  }

  function canRun() {
    return "noModule" in document.createElement("script") && knows("fetch") && knows("Proxy")
      && "replaceAll" in String.prototype;
  }

  function say(text) {
    var trouble = document.getElementById("trouble");
    trouble.textContent = text;
    trouble.className = "shown";
  }

  window.addEventListener("error", function (event) {
    if (/SyntaxError/.test(String(event.message))) misread = true;
  });

  var TOO_OLD = "This browser is too old for this page. It works with Chrome or Edge 87, Firefox 113, Safari 15, "
    + "and all that are newer.";
  var PART_MISSING = "A part of this page could not be loaded. Please load it again.";

  // After everything else, modules too.
  window.addEventListener("load", function () {
    var starts = window.cameraStarts;
    if (!canRun() || misread) say(TOO_OLD);
    else if (!starts) say(PART_MISSING);
    else {
      starts.begun.then(function () {
        if (!canCall()) say(starts.words.cannotCall);
      }, function (error) {
        if (error instanceof SyntaxError) say(TOO_OLD);
        else say(canCall() ? starts.words.partMissing : starts.words.cannotCall);
      });
    }
  });
})();
