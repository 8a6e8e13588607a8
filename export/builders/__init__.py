"""One file per kind of engine, imported when asked for."""
