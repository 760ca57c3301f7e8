"""Project templates: a CloudFormation template each, and the seed code of the repositories that it makes."""
