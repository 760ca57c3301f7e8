"""What the actions of CodePipeline do: a module a kind of provider, each `start` and `poll` (see `base`)."""
