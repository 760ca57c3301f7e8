"""Git repositories of this machine, driven by the `git` program. What AWS's CodeCommit makes of them is `services`'."""
