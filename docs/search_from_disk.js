/* Search in pages that are opened from a disk. Browsers start no worker there, so a hidden frame
   takes its place: it runs the same script, and messages go to and fro as they would to a worker. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.waiting = [];
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.title = "search";
      frame.srcdoc = "<!doctype html>";
      frame.addEventListener("load", () => this.start(frame, new URL(address, location)), { once: true });
      document.documentElement.append(frame);
    }

    start(frame, address) {
      const scope = frame.contentWindow;
      const load = (source) =>
        new Promise((done, failed) => {
          const script = frame.contentDocument.createElement("script");
          script.src = source;
          script.onload = done;
          script.onerror = failed;
          frame.contentDocument.head.append(script);
        });
      scope.IFrameWorker = Worker; // how the script knows that importScripts is a promise here
      scope.importScripts = (...sources) =>
        sources.reduce((before, source) => before.then(() => load(source)), Promise.resolve());
      scope.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      load(address.href).then(() => {
        this.scope = scope;
        this.waiting.splice(0).forEach((data) => this.postMessage(data));
      });
    }

    postMessage(data) {
      if (this.scope) {
        this.scope.dispatchEvent(new this.scope.MessageEvent("message", { data }));
      } else {
        this.waiting.push(data);
      }
    }
  };
}
