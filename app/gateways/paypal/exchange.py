"""One call and its answer as an object: what every verb does first."""

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel

from app.domain.outcome import Inconclusive, NotExecuted, NotFound, Unknown
from app.gateways.paypal.problems import MISSING, Refusal, read, refusal
from app.gateways.paypal.session import SUCCESSES, Call, Session
from app.http import Answer

Readable = TypeVar("Readable", bound=BaseModel)


class Stub(BaseModel):
    """What a minimal answer holds."""

    id: str
    status: str


async def ask(
    session: Session,
    call: Call,
    model: type[Readable],
    where: Callable[[str], str] | None = None,
) -> Readable | Refusal | NotExecuted | Unknown:
    """A call that may change something, and the object it led to.

    `where` is the path of an object by its id: an answer that says no more than that is completed
    by a look there.
    """
    answer = await session.send(call)
    if not isinstance(answer, Answer):
        return answer
    if answer.status not in SUCCESSES:
        return refusal(call.verb, answer)
    known = read(model, answer)
    if known is not None:
        return known
    stub = read(Stub, answer)
    if stub is None or where is None:
        return Unknown("unreadable_answer")
    looked = await look(session, f"{call.verb}.look", where(stub.id), model)
    if isinstance(looked, NotFound | Inconclusive):
        return Unknown("incomplete_answer")
    return looked


async def look(
    session: Session, verb: str, path: str, model: type[Readable]
) -> Readable | NotFound | Inconclusive:
    """An object as it is now; nothing changes."""
    answer = await session.send(Call(verb, "GET", path))
    match answer:
        case NotExecuted(cause=cause) | Unknown(cause=cause):
            return Inconclusive(cause)
        case Answer(status=status) if status in SUCCESSES:
            return read(model, answer) or Inconclusive("unreadable_answer")
        case Answer():
            refused = refusal(verb, answer)
            if not isinstance(refused, Refusal):
                return Inconclusive(refused.cause)
            if refused.status == MISSING:
                return NotFound(definitive=True)
            return Inconclusive(refused.code.lower())
