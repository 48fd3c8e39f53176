// Node's `ws`: a message is serialised once and sent to each client of the room, as its documentation broadcasts.
// It checks the tokens of Hubbub's benchmark (HS256), as the Python peers of the same kind do.
const { createHmac, timingSafeEqual, randomUUID } = require("node:crypto");
const { createServer } = require("node:http");
const { WebSocketServer } = require("ws");

const [port, deflate] = process.argv.slice(2);
const secret = process.env.HUBBUB_SECRET_KEY;
const rooms = new Map();
let offset = 0;

function identify(request) {
  const [scheme, token = ""] = (request.headers.authorization ?? "").split(" ");
  const [header, claims, signature = ""] = token.split(".");
  const expected = createHmac("sha256", secret).update(`${header}.${claims}`).digest();
  const given = Buffer.from(signature, "base64url");
  if (scheme !== "Bearer" || given.length !== expected.length || !timingSafeEqual(given, expected)) return null;
  const { sub, exp } = JSON.parse(Buffer.from(claims, "base64url"));
  return exp > Date.now() / 1000 ? sub : null;
}

function join(socket, room_id) {
  const room = rooms.get(room_id) ?? new Set();
  rooms.set(room_id, room.add(socket));
  socket.rooms.push(room);
  socket.send(JSON.stringify({ type: "joined", room_id, active_users: room.size }));
}

function broadcast(user_id, room_id, content) {
  const text = JSON.stringify({
    type: "message",
    room_id,
    user_id,
    content,
    channel: `room:${room_id}`,
    id: randomUUID(),
    offset: ++offset,
    timestamp: new Date().toISOString(),
  });
  const data = Buffer.from(text);
  for (const socket of rooms.get(room_id) ?? []) socket.send(data, { binary: false });
}

const http = createServer();
const server = new WebSocketServer({ noServer: true, perMessageDeflate: deflate === "deflate" });

http.on("upgrade", (request, socket, head) => {
  const user_id = identify(request);
  if (user_id === null) return socket.end("HTTP/1.1 401 Unauthorized\r\n\r\n");
  server.handleUpgrade(request, socket, head, (client) => {
    client.rooms = [];
    client.on("message", (data) => {
      const { type, room_id, content } = JSON.parse(data);
      if (type === "join_room") join(client, room_id);
      else broadcast(user_id, room_id, content);
    });
    client.on("close", () => client.rooms.forEach((room) => room.delete(client)));
    client.send(JSON.stringify({ type: "welcome", user_id }));
  });
});
http.listen(Number(port), "127.0.0.1");
