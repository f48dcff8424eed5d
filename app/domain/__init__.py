"""The rules of billing as pure functions over frozen values; see README.md in this folder."""
