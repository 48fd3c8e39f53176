// Node's ws: reads a task from standard input, writes what it heard to standard output.
import { readFileSync } from "node:fs";
import WebSocket from "ws";
import { converse } from "./scenario.mjs";

const { url, token, compression, ...task } = JSON.parse(readFileSync(0, "utf8"));
const socket = new WebSocket(url, ["hubbub", `hubbub.bearer.${token}`], {
  perMessageDeflate: compression && { threshold: 128 },
});
const result = await converse(socket, task);
const closed = new Promise((resolve) => socket.on("close", (code) => resolve(code)));
socket.close(1000);
console.log(JSON.stringify({ ...result, closed: await closed }));
