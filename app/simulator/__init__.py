"""A payment gateway that moves no money: an own process with an own durable ledger.

It shares no code with the adapters, so its ledger can be the oracle of what was really charged.
docs/simulator.md is its manual. Start it with `python -m app.simulator`.
"""
