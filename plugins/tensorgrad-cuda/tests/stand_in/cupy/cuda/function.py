"""Arguments of kernels."""


class CNumpyArray:
    """A structure that is passed by value."""

    def __init__(self, values):
        self.values = values
