"""CodeBuild: projects and builds. What a build does is the engine's (`engine/builds.py`)."""
