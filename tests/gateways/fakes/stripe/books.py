"""Everything that this Stripe knows: its objects by name, what moved, and what happened."""

from collections.abc import Callable, Iterable
from typing import Any

from app import ids
from app.clock import SystemClock
from tests.gateways.fakes.stripe.cards import Card
from tests.gateways.fakes.stripe.objects import Object

WITH_MODE = frozenset(
    """
    charge customer dispute event mandate payment_intent payment_method setup_attempt
    setup_intent
    """.split()  # noqa: SIM905
)
EXPANDABLE = frozenset(
    """
    balance_transaction charge customer latest_attempt latest_charge mandate payment_intent
    payment_method
    """.split()  # noqa: SIM905
)
EXPAND_DEPTH_MAX = 4


class Refused(Exception):
    """A request that Stripe answers with an error."""

    def __init__(
        self, status: int, *, intent: str | None = None, stored: bool = False, **error: Any
    ) -> None:
        super().__init__(error.get("message"))
        self.status = status
        self.error = {"type": "invalid_request_error", "message": "No.", **error}
        self.intent = intent
        self.is_stored = stored
        """Whether execution had begun, so that the key remembers it."""


def missing(kind: str, id: str, *, param: str, status: int = 400) -> Refused:
    return Refused(status, code="resource_missing", param=param, message=f"No such {kind}: '{id}'")


class Books:
    """The objects, in the order they were made."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.cards: dict[str, Card] = {}
        self.moved: list[Object] = []
        self.events: list[Object] = []
        self.livemode = False
        self.clock = SystemClock()

    def now(self) -> int:
        return int(self.clock.now().timestamp())

    def name(self, prefix: str) -> str:
        return f"{prefix}_{ids.show('x', ids.new_id())[-24:]}"

    def keep(self, thing: Object) -> Object:
        self.objects[thing["id"]] = thing
        return thing

    def get(self, kind: str, id: str, *, param: str, status: int = 400) -> Object:
        thing = self.objects.get(id)
        if thing is None or thing["object"] != kind:
            raise missing(kind, id, param=param, status=status)
        return thing

    def all(self, kind: str) -> list[Object]:
        """The newest first."""
        return [one for one in reversed(self.objects.values()) if one["object"] == kind]

    def move(self, kind: str, source: Object, amount: int, reference: str | None) -> None:
        """Money really moved."""
        name = source["payment_intent"] if kind == "charge" else source["id"]
        entry = {"kind": kind, "id": name, "reference": reference, "amount": amount}
        entry |= {"currency": source["currency"], "created": source["created"]}
        self.moved.append(entry)

    def tell(self, type: str, about: Object) -> None:
        """Something happened."""
        event = {
            "id": self.name("evt"),
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": self.now(),
            "data": {"object": self.shown(about)},
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": type,
        }
        self.keep(event)
        self.events.append(event)

    # ── how they are shown ────────────────────────────────────────────────────────────────────────

    def shown(self, thing: Object, expand: Iterable[str] = ()) -> Object:
        """A copy as it leaves the house, with what was asked for in place of its name."""
        copy = {key: value for key, value in thing.items() if not key.startswith("_")}
        if copy["object"] in WITH_MODE:
            copy["livemode"] = self.livemode
        if copy["object"] == "dispute":
            copy["balance_transactions"] = [
                dict(self.objects[name]) for name in thing["balance_transactions"]
            ]
        deeper: dict[str, list[str]] = {}
        for path in expand:
            head, _, rest = path.partition(".")
            if path.count(".") >= EXPAND_DEPTH_MAX or head not in EXPANDABLE or head not in copy:
                message = f"This property cannot be expanded ({path})."
                raise Refused(400, param="expand", message=message)
            deeper.setdefault(head, []).extend([rest] if rest else [])
        for head, rests in deeper.items():
            if copy[head] is not None:
                copy[head] = self.shown(self.objects[copy[head]], rests)
        return copy

    def listed(
        self, kind: str, query: Object, keep: Callable[[Object], bool] = lambda _: True
    ) -> Object:
        """A page, the newest first."""
        created = query.get("created", {})
        found = [
            one
            for one in self.all(kind)
            if keep(one)
            and one["created"] >= int(created.get("gte", 0))
            and one["created"] < int(created.get("lt", 2**60))
        ]
        after = query.get("starting_after")
        if after is not None:
            names = [one["id"] for one in found]
            if after not in names:
                raise missing(kind, after, param="starting_after")
            found = found[names.index(after) + 1 :]
        limit = int(query.get("limit", 10))
        if not 1 <= limit <= 100:
            raise Refused(400, param="limit", message="Between 1 and 100.")
        paths = query.get("expand", [])
        for path in paths:
            if not path.startswith("data."):
                raise Refused(400, param="expand", message=f"Cannot be expanded ({path}).")
        expand = [path.removeprefix("data.") for path in paths]
        return {
            "object": "list",
            "data": [self.shown(one, expand) for one in found[:limit]],
            "has_more": len(found) > limit,
            "url": f"/v1/{kind}s",
        }
