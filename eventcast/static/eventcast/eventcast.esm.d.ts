import eventcast = require("./eventcast.js");

export default eventcast;
