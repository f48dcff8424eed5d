"""HTTP: one file a resource, its inputs on top, its routes below; `objects` is what callers get."""
