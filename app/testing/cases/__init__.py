"""The cases of the contract, by what they are about. They are run by `gateway_contract`."""
