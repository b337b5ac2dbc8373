"""Cloud's edge: who may enter, and what happens to a request on its way."""
