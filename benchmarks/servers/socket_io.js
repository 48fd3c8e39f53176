// Socket.IO with its own rooms, over WebSocket only; compression is off, as it is by default.
const { randomUUID } = require("node:crypto");
const { createServer } = require("node:http");
const { Server } = require("socket.io");

const http = createServer();
const io = new Server(http, { transports: ["websocket"] });
let offset = 0;

io.on("connection", (socket) => {
  socket.on("join_room", ({ room_id }) => {
    socket.join(room_id);
    socket.emit("joined", { room_id });
  });
  socket.on("message", ({ room_id, content }) => {
    io.to(room_id).emit("message", {
      room_id,
      user_id: socket.id,
      content,
      channel: `room:${room_id}`,
      id: randomUUID(),
      offset: ++offset,
      timestamp: new Date().toISOString(),
    });
  });
});
http.listen(Number(process.argv[2]), "127.0.0.1");
