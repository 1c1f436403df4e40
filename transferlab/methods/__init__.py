"""The methods of the map: one module each, in folders named after its cells.

A method's module has ``sees`` (:class:`~transferlab.map.Sees`), a dataclass ``Config`` and
``fit(config, problem, run) -> Classifier``, which reads like its paper.
"""
