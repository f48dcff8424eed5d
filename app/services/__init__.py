"""One async function per verb: load, decide, record, tell. Owns the transaction."""
