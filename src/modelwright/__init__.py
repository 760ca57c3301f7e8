"""The MLOps loop of Amazon SageMaker on your own machine."""

__version__ = "0.1.0"
