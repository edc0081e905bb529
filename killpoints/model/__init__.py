"""An explicit-state model of the protocol: every interleaving, breadth first, over the product's own functions.

One intent, two workers, a process that dies, pauses, duplicates, a switch, people who resolve and replay, and a world
that loses replies and does things late. What a worker decides is what `enactor.pipeline` decides; the conditions of the
store and the world are modelled. Each rule of the protocol can be left out, to see that it is needed.
"""
