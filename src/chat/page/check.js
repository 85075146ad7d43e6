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

  // After everything else, modules too.
  window.addEventListener("load", function () {
    var works = "It works with Chrome or Edge 87, Firefox 113, Safari 15, and all that are newer.";
    if (!canRun() || misread) {
      say("This browser is too old for this page. " + works);
    } else if (!canCall()) {
      say("This browser cannot make calls: it is too old, or WebRTC is turned off in it. " + works);
    } else if (!window.cameraAgent) {
      say("A part of this page could not be loaded. Please load it again.");
    }
  });
})();
