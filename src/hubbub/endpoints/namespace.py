"""What `hub.namespace(…)` returns: a policy, and the decorators for its hooks."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from pydantic import BaseModel

from hubbub.endpoints.injection import Injector
from hubbub.exceptions import ConfigurationError
from hubbub.hub.channels import Channel
from hubbub.hub.events import event_name
from hubbub.hub.identity import Identity
from hubbub.hub.namespaces import Authorizer, History, Namespace, Overflow, Publish, Subscribe

Function = TypeVar("Function", bound=Callable[..., Any])

CHOICES: Mapping[str, type[Subscribe] | type[Publish] | type[Overflow]] = {
    "subscribe": Subscribe,
    "publish": Publish,
    "overflow": Overflow,
}
KINDS: Mapping[str, type] = {
    "presence": bool,
    "join_leave": bool,
    "recovery": bool,
    "history": History,
    "overflow_bytes": int,
    "max_message_bytes": int,
}
POLICY = frozenset(field.name for field in fields(Namespace) if field.init) - {
    "name",
    "authorizer",
    "publish_authorizer",
    "moderators",
}


class NamespaceHandle:
    """A namespace of a hub.

    Args:
        policy: what holds for its channels.
        injector: calls its hooks.
    """

    def __init__(self, policy: Namespace, injector: Injector) -> None:
        self.policy = policy
        self._injector = injector

    @classmethod
    def define(cls, name: str, policy: Mapping[str, Any], injector: Injector) -> "NamespaceHandle":
        """Read keywords as a policy; words stand for the enumerations' members.

        Raises:
            ConfigurationError: an unknown keyword, or a value that cannot work.
        """
        unknown = sorted(set(policy) - POLICY)
        if unknown:
            raise ConfigurationError(
                f"Namespace {name!r} has no {', '.join(unknown)}; there are {', '.join(sorted(POLICY))}."
            )
        values = dict(policy)
        for key, choices in CHOICES.items():
            if key in values:
                values[key] = choice(name, key, values[key], choices)
        for key, kind in KINDS.items():
            # A bool is an int, and means something else.
            if key in values and (
                not isinstance(values[key], kind) or (kind is int and isinstance(values[key], bool))
            ):
                raise ConfigurationError(
                    f"Namespace {name!r}: {key} is a {kind.__name__}, not {values[key]!r}."
                )
        values["events"] = tuple(values.get("events", ()))
        for event in values["events"]:
            if not (isinstance(event, type) and issubclass(event, BaseModel)):
                raise ConfigurationError(f"Namespace {name!r}: events are pydantic models, not {event!r}.")
        return cls(Namespace(name, **values), injector)

    def authorize(self, hook: Function) -> Function:
        """Ask this hook who may subscribe, after the `subscribe` policy.

        ``def may_join(identity: Identity, channel: Channel, …Depends) -> bool``, sync or async; it may raise
        `Forbidden` with words of its own.
        """
        if self.policy.authorizer is not None:
            raise ConfigurationError(f"Namespace {self.policy.name!r} has an authorize hook already.")
        self.policy.authorizer = self._authorizer(hook)
        return hook

    def authorize_publish(self, hook: Function) -> Function:
        """Ask this hook which clients may publish, after the `publish` policy; as `authorize`."""
        if self.policy.publish_authorizer is not None:
            raise ConfigurationError(f"Namespace {self.policy.name!r} has an authorize_publish hook already.")
        self.policy.publish_authorizer = self._authorizer(hook)
        return hook

    def on(self, event: type[BaseModel]) -> Callable[[Function], Function]:
        """Run a hook on each event of this type that a client publishes, before anybody gets it.

        ``def moderate(message: ChatMessage, sender: Identity, …Depends) -> ChatMessage | None``: what it returns is
        published; `None` refuses. What the server publishes does not pass here.

        Raises:
            ConfigurationError: the namespace does not list the event type.
        """
        name = event_name(event)
        if name in self.policy.moderators:
            raise ConfigurationError(
                f"Namespace {self.policy.name!r} has a hook on {event.__name__} already."
            )
        if self.policy.event_types.get(name) is not event:
            raise ConfigurationError(
                f"Namespace {self.policy.name!r} does not list {event.__name__}: add it to events=[…]."
            )

        def decorate(hook: Function) -> Function:
            prepared = self._injector.prepare(
                hook, {"message": event, "sender": Identity, "channel": Channel}
            )

            async def moderate(message: BaseModel, sender: Identity, channel: Channel) -> BaseModel | None:
                result = await prepared(message=message, sender=sender, channel=channel)
                if result is None or isinstance(result, BaseModel):
                    return result
                raise TypeError(
                    f"A hook on {event.__name__} returned {type(result).__name__}, not an event or None"
                )

            self.policy.moderators[name] = moderate
            return hook

        return decorate

    def _authorizer(self, hook: Callable[..., Any]) -> Authorizer:
        prepared = self._injector.prepare(hook, {"identity": Identity, "channel": Channel})

        async def authorize(identity: Identity, channel: Channel) -> bool:
            return bool(await prepared(identity=identity, channel=channel))

        return authorize


def choice(name: str, key: str, value: Any, choices: type[Subscribe] | type[Publish] | type[Overflow]) -> Any:
    """Read one word of a policy.

    Raises:
        ConfigurationError: it is none of the choices.
    """
    try:
        return choices(value)
    except ValueError:
        words = ", ".join(member.value for member in choices)
        raise ConfigurationError(f"Namespace {name!r}: {key} is one of {words}, not {value!r}.") from None
