"""One user, wherever they are connected."""

from application import Application

from hubbub.endpoints.user_channel import UserChannel


async def test_it_reaches_every_device_of_one_user():
    async with Application() as application:
        devices = [await application.client("/ws", token="ada") for _ in range(2)]
        other = await application.client("/ws", token="bob")
        for client in (*devices, other):
            await client.expect("welcome")
        ada = application.hub.to_user("ada")
        assert isinstance(ada, UserChannel)
        first = await ada.send("greeting", {"text": "hi"}, idempotency_key="once")
        assert await ada.send("greeting", {"text": "hi"}, idempotency_key="once") == first
        for client in devices:
            assert (await client.expect("event"))["data"] == {"text": "hi"}
        await application.hub.to_user("bob").send("greeting", {"text": "bob"})
        assert (await other.expect("event"))["data"] == {"text": "bob"}
