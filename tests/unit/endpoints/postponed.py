"""Hooks as modules with postponed annotations write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends

from hubbub.hub.channels import Channel
from hubbub.hub.identity import Identity

if TYPE_CHECKING:
    from somewhere import Nowhere


def resource() -> str:
    return "resource"


async def postponed_hook(
    identity: Identity, channel: Channel, resource: Annotated[str, Depends(resource)]
) -> Any:
    return identity.user_id, channel.name, resource


async def unresolvable_hook(identity: Nowhere) -> None: ...
