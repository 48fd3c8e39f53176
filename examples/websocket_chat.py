"""A whole chat in one file: rooms, who is there, who types, and nothing missed after a lost connection.

Run it, and open http://127.0.0.1:8000 in two windows::

    pip install "hubbub[server]"
    uvicorn websocket_chat:app --app-dir examples
"""

import os
import secrets
from typing import Annotated

from fastapi import Body, FastAPI
from fastapi.responses import HTMLResponse

from hubbub import ChatMessage, Forbidden, Hub, Identity, JWTAuthenticator, TokenIssuer, Typing

SECRET = os.environ.get("SECRET_KEY") or secrets.token_hex(32)

hub = Hub(authenticate=JWTAuthenticator(SECRET))
rooms = hub.namespace("room", publish="subscriber", events=[ChatMessage, Typing], presence=True)
issuer = TokenIssuer(SECRET)
app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)


@rooms.on(ChatMessage)
async def tidy(message: ChatMessage, sender: Identity) -> ChatMessage:
    """Look at every message before anybody else does."""
    content = message.content.strip()
    if not content:
        raise Forbidden("Say something.")
    return ChatMessage(content=content)


@app.post("/sign-in")
async def sign_in(name: Annotated[str, Body(embed=True, pattern=r"^[\w .-]{1,40}$")]) -> dict[str, str]:
    """Believe everybody's name: put your own sign-in here."""
    return {"token": issuer.issue(name, ttl=3600)}


@app.get("/", response_class=HTMLResponse)
async def page() -> str:
    """Show the chat."""
    return PAGE


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Chat</title>
<style>
  body { font: 1rem/1.5 system-ui; max-width: 40rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark }
  #log { min-height: 12rem; overflow-wrap: anywhere }
  form { display: flex; gap: .5rem }
  input { flex: 1; font: inherit }
</style>
<h1>Chat</h1>
<p id="state" role="status">Who are you?</p>
<div id="log" role="log"></div>
<p id="typing"></p>
<form><input id="text" aria-label="Your name" placeholder="Your name" autofocus><button>Send</button></form>
<script type="module">
  import { HubbubClient } from "/hubbub.js";

  const [form, text, log, state, typing] =
    ["form", "#text", "#log", "#state", "#typing"].map((selector) => document.querySelector(selector));
  const show = (line) => log.appendChild(document.createElement("div")).textContent = line;
  let room;

  async function enter(name) {
    const body = JSON.stringify({ name });
    const token = async () => {
      const answer = await fetch("/sign-in", { method: "POST", body, headers: { "Content-Type": "application/json" } });
      return (await answer.json()).token;
    };
    const client = new HubbubClient({ token });
    room = client.join("general");
    room.on("message", (message) => { show(`${message.user_id}: ${message.content}`); typing.textContent = ""; });
    room.on("typing", ({ user_id }) => { typing.textContent = `${user_id} is typing…`; });
    const who = () => { state.textContent = `Here: ${room.members?.join(", ") ?? room.activeUsers}`; };
    for (const event of ["joined", "user_joined", "user_left"]) room.on(event, who);
    room.on("lost", () => show("(some messages may be missing)"));
    client.connect();
    text.placeholder = "Say something";
    text.ariaLabel = "Message";
    text.addEventListener("input", () => room.typing());
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const value = text.value;
    text.value = "";
    if (!room) return enter(value);
    try { await room.send(value); } catch (error) { show(`(not sent: ${error.message})`); }
  });
</script>
"""
