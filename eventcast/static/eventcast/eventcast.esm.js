// For: import eventcast from ".../eventcast.esm.js". (Not .mjs: many servers don't serve such files as JavaScript.)
import "./eventcast.js";

export default globalThis.eventcast;
