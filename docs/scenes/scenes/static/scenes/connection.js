/* Shows the state of a page's channel: <p class="state" data-state="connecting"><span role="status">…</span></p> */
"use strict";

const STATES = { connecting: "Connecting", open: "Live", waiting: "Connection lost", closed: "Not connected" };

function showConnection(channel, element) {
  channel.on("state", (state) => {
    element.dataset.state = state;
    element.querySelector("[role=status]").textContent = STATES[state];
  });
}
