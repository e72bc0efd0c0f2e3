"""Learning curves of your own: a class with `evaluate`, given to the command line by file and name.

hbsim simulate --scheduler stopping --trials 200 --max-t 27 --surrogate examples/own_surrogate.py:Sine
"""

import numpy as np

import hbsim


class Sine:
    """Accuracy rises towards a quality that depends on one parameter; each epoch takes two seconds."""

    name = "sine"
    metric = "accuracy"
    mode = "max"
    max_resource = 27
    resources = None
    rows = None
    space = hbsim.Space({"x": hbsim.Real(0.0, 1.0)})

    def evaluate(self, configurations, levels):
        """Return accuracies and cumulative seconds, both of shape (n, m)."""
        quality = 0.5 + 0.5 * np.sin(6 * configurations[:, :1])
        values = quality * (1 - np.exp(-levels / 9))
        return values, np.tile(2.0 * levels, (len(values), 1))

    def optimum(self, level):
        """Return the best accuracy of the whole space at a level."""
        return 1.0 - float(np.exp(-level / 9))
