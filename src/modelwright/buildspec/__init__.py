"""CodeBuild's buildspec language, version 0.2. Pure: text -> `Specification`, or all that is wrong with it."""
