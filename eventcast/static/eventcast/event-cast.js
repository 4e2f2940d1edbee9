/* <event-cast path="/deploys"></event-cast> appends each message to itself; with "toast", messages are pop-ups that
   disappear. Messages are inserted as text, never as HTML. Needs eventcast.js before it.   MIT licence */
(() => {
  "use strict";
  // The script is on the page twice, or on a server that renders pages.
  if (!globalThis.customElements || customElements.get("event-cast")) return;

  // :where() gives the rules no specificity, so that all rules of the page win. The page's CSP allows such a sheet.
  const LOOKS = `
    :where(event-cast) { display: block }
    :where(event-cast > div) { white-space: pre-wrap; overflow-wrap: anywhere }
    :where(event-cast[toast]) {
      position: fixed; right: 1rem; bottom: 1rem; z-index: 2147483647; width: min(22rem, 100vw - 2rem);
      pointer-events: none }
    :where(event-cast[toast] > div) {
      display: flex; justify-content: space-between; gap: .75rem; margin-top: .5rem; padding: .75rem 1rem;
      max-height: 40vh; overflow: auto; pointer-events: auto; font: .9375rem/1.45 system-ui, sans-serif;
      color: #f4f4f5; background: #26262b; border: 1px solid #55555e; border-radius: .625rem;
      box-shadow: 0 .5rem 1.5rem #0005 }
    :where(event-cast[toast] button) {
      align-self: start; margin: -.25rem -.5rem -.25rem 0; padding: 0 .5rem; font: 1.375rem/1.5 system-ui, sans-serif;
      color: inherit; background: none; border: 0; border-radius: .375rem; cursor: pointer }
    :where(event-cast[toast] button:hover) { background: #fff2 }
    @media (prefers-reduced-motion: no-preference) { :where(event-cast[toast] > div) { animation: event-cast .25s } }
    @keyframes event-cast { from { opacity: 0; transform: translateY(.75rem) } }`;
  let sheet;

  const setDefault = (element, name, value) => element.hasAttribute(name) || element.setAttribute(name, value);

  class EventCast extends HTMLElement {
    static observedAttributes = ["path", "token"];
    shown = [];
    waiting = [];

    connectedCallback() {
      const root = this.getRootNode();
      if (!sheet) (sheet = new CSSStyleSheet()).replaceSync(LOOKS);
      if (!root.adoptedStyleSheets.includes(sheet)) root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];
      // A live region: screen readers read it out when they are idle, and the focus stays.
      setDefault(this, "role", this.hasAttribute("toast") ? "status" : "log");
      setDefault(this, "aria-live", "polite");
      setDefault(this, "aria-atomic", "false"); // read the new toast only, not all toasts again
      this.attributeChangedCallback();
      if (this.hasAttribute("toast")) document.addEventListener("keydown", this);
    }

    disconnectedCallback() {
      document.removeEventListener("keydown", this);
      this.channel?.close();
      this.channel = null;
    }

    attributeChangedCallback() {
      if (!this.isConnected) return;
      const before = this.channel, path = this.getAttribute("path");
      this.channel = path && eventcast(path, { token: this.getAttribute("token") })
        .on("state", (state) => this.setAttribute("state", state))
        .on((data) => this.take(data));
      before?.close(); // after the new channel has been opened, which may share its socket
    }

    // Esc takes the newest pop-up away, which may cover what the reader wants to reach.
    handleEvent(event) {
      if (event.key == "Escape" && !event.defaultPrevented) this.shown.at(-1)?.querySelector("button").click();
    }

    // Not named as the attribute: React sets the property of that name, if there is one.
    get most() {
      return +this.getAttribute("max") || (this.hasAttribute("toast") ? 3 : 100);
    }

    // Messages are shown once a frame, so that a flood does not freeze the page. A hidden page keeps the newest.
    take(detail) {
      if (!this.dispatchEvent(new CustomEvent("message", { detail, cancelable: true }))) return;
      if (this.waiting.push(detail) == 1) requestAnimationFrame(() => this.show());
      if (this.waiting.length > this.most) this.waiting.shift();
    }

    show() {
      const atEnd = this.scrollHeight - this.scrollTop - this.clientHeight < 4;
      for (const data of this.waiting.splice(0)) {
        const item = document.createElement("div"), text = document.createElement("span");
        text.textContent = data.byteLength >= 0 ? data.byteLength + " bytes" : data;
        item.append(text);
        this.append(item);
        this.shown.push(item);
        if (this.hasAttribute("toast")) this.leaveLater(item);
      }
      while (this.shown.length > this.most) this.shown.shift().remove();
      if (atEnd) this.scrollTop = this.scrollHeight;
    }

    leaveLater(item) {
      let timer;
      const leave = () => {
        stay();
        this.shown = this.shown.filter((one) => one != item);
        if (matchMedia("(prefers-reduced-motion: reduce)").matches) item.remove();
        else item.animate({ opacity: 0 }, 200).onfinish = () => item.remove();
      };
      const stay = () => clearTimeout(timer);
      const wait = () => {
        stay();
        if (!item.matches(":hover, :focus-within")) timer = setTimeout(leave, 1000 * (this.getAttribute("toast") || 8));
      };
      const button = document.createElement("button");
      Object.assign(button, { type: "button", textContent: "×", onclick: leave });
      button.setAttribute("aria-label", this.getAttribute("dismiss") || "Dismiss");
      item.append(button);
      Object.assign(item, { onmouseenter: stay, onmouseleave: wait }); // it stays while the pointer is on it
      item.addEventListener("focusin", stay);
      item.addEventListener("focusout", () => setTimeout(wait));
      wait();
    }
  }

  customElements.define("event-cast", EventCast);
})();
