"""One module for each command of `silt`: its options, its calls of the engine, and what it says at the end.

Rule: a module holds one click command (or a group of them) under the name `command`, named as the module is. It
imports the engine, the store and whatever is heavy inside its functions.
"""
