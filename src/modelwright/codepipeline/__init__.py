"""What a CodePipeline pipeline is: its declaration, its action types, its variables. Pure."""
