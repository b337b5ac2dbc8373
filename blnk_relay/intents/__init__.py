"""The kinds of write: schemas, references, look-ups, requests and judgements. Pure functions, no I/O."""
