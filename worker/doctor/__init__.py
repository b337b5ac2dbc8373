"""Whether anything would break the promise: what is read at the edge, and judged by pure checks."""
