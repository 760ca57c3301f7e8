"""The template language of CloudFormation: text in, a plan of resources out. Pure.

    text ──reader──▶ plain data ──template──▶ Template ──plan──▶ Plan: each resource with what it needs first

`functions` evaluates the intrinsic functions as far as their arguments are known: a plan still has the references to
resources in it, which are filled in when those exist. `types` says which resource types there are and what of them
can't be changed without a replacement. Every refusal is a `TemplateError` in AWS's words.
"""
