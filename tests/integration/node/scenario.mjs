// What every JavaScript peer does, in Node and in a browser: it uses nothing but the WebSocket interface of the web.

/**
 * Say everything that there is to say in a room, and listen until everything has come.
 *
 * @param {WebSocket} socket a new connection to a room
 * @param {{contents: string[], count: number}} task what to say, and how many messages come in all
 * @returns {Promise<{extensions: string, heard: {user: string, content: string}[]}>}
 */
export function converse(socket, { contents, count }) {
  return new Promise((resolve, reject) => {
    const heard = [];
    socket.addEventListener("close", (event) => reject(new Error(`closed: ${event.code} ${event.reason}`)));
    socket.addEventListener("error", (event) => reject(new Error(`failed: ${event.message ?? "no reason"}`)));
    socket.addEventListener("message", (event) => {
      const message = JSON.parse(event.data);
      if (message.type === "joined") {
        for (const content of contents) socket.send(JSON.stringify({ type: "message", content }));
      } else if (message.type === "message") {
        heard.push({ user: message.user_id, content: message.content });
        if (heard.length === count) resolve({ extensions: socket.extensions, heard });
      } else if (message.type === "error") {
        reject(new Error(event.data));
      }
    });
  });
}
