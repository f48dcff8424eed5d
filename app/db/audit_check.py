"""What an invariant of the books is: a promise, and the query for its exceptions."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One invariant: its name, what it promises, and the query for its exceptions.

    In the query `{mine:x}` limits the rows of alias `x` to the merchant that is audited,
    `{balance:account}` are an account's debits less its credits by merchant and currency, and
    `{returned}` is what came back of each line, `{bills}` which invoice billed which subscription.
    """

    name: str
    promise: str
    sql: str
