"""The screens: each takes a request apart, asks the Operator, and says which template shows the answer."""
