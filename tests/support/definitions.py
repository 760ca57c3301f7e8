"""Definitions for tests: short ways to write them, and the recorded ones of SDK v2 and v3."""

import json
from pathlib import Path

from modelwright.pipelines.definition import VERSION, parse

RECORDED = Path(__file__).parents[1] / "fixtures" / "definitions"


def text(*steps, **members):
    return json.dumps({"Version": VERSION, "Steps": list(steps), **members})


def definition(*steps, **members):
    return parse(text(*steps, **members))


def training(name, *, after=(), **members):
    step = {"Name": name, "Type": "Training", "Arguments": {}, **members}
    return {**step, "DependsOn": list(after)} if after else step


def condition(name, then=(), otherwise=(), *, conditions=None, **members):
    arguments = {"Conditions": conditions or [equals(1, 1)], "IfSteps": list(then), "ElseSteps": list(otherwise)}
    return {"Name": name, "Type": "Condition", "Arguments": arguments, **members}


def for_each(name, **arguments):
    usual = {"IterableItems": ["a", "b"], "MaxConcurrency": 2, "ForEachBody": [training("X")]}
    return {"Name": name, "Type": "ForEach", "Arguments": {**usual, **arguments}}


def fail(name, message="no", **members):
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": message}, **members}


def equals(left, right):
    return {"Type": "Equals", "LeftValue": left, "RightValue": right}


def get(path):
    return {"Get": path}


class Values:
    """An environment for expressions made of plain values."""

    def __init__(self, parameters=None, execution=None, steps=None, files=None, objects=None):
        self.parameters, self.executions = parameters or {}, execution or {}
        self.steps, self.files, self.objects = steps or {}, files or {}, objects or {}

    def parameter(self, name):
        return self.parameters[name]

    def execution(self, name):
        return self.executions[name]

    def step(self, name):
        return self.steps[name]

    def property_file(self, step, name):
        return self.files[step, name]

    def s3_json(self, uri):
        return self.objects[uri]
