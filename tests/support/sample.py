"""A server with a few made-up operations, for tests of the wire itself: `python -m support.sample HOME PORT`."""

import asyncio
import hashlib
import logging
import os
import sys
import time
from pathlib import Path

from modelwright.config import Settings
from modelwright.protocol.validation import validate
from modelwright.server.authority import Authority
from modelwright.server.connect import Proxy
from modelwright.server.gateway import Gateway
from modelwright.server.keys import Keys
from modelwright.server.running import is_loopback
from modelwright.server.serve import serve
from modelwright.server.upstream import Upstream
from modelwright.services.dispatch import Dispatcher, operation
from modelwright.services.sts import Sts

MODEL = {"ModelArn": "arn:aws:sagemaker:us-east-1:111122223333:model/m", "CreationTime": 1_790_000_000.5}


class Models:
    @operation("DescribeModel", quick=True)
    def describe_model(self, context, parameters):
        """Answers at once; says who asked and from which region."""
        return {**MODEL, "ModelName": parameters["ModelName"], "ExecutionRoleArn": context.principal.arn, "_x": 1}

    @operation("DeleteModel")
    def delete_model(self, context, parameters):
        raise RuntimeError("a defect with a secret in its text")

    @operation("ListModels")
    def list_models(self, context, parameters):
        return {"Models": [{**MODEL, "ModelName": context.region}]}


class Objects:
    """An object store that forgets: PutObject tells what came, GetObject makes as many bytes as the key says."""

    @operation("PutObject")
    async def put_object(self, context, parameters):
        digest, size, largest = hashlib.md5(), 0, 0
        async for piece in parameters["Body"]:
            digest.update(piece)
            size += len(piece)
            largest = max(largest, len(piece))
        seen = {name: value for name, value in parameters.items() if name != "Body"}
        print("stored", parameters["Key"], size, largest, sorted(seen.items()), flush=True)  # noqa: T201
        return {"ETag": f'"{digest.hexdigest()}"', "VersionId": str(size)}

    @operation("GetObject")
    async def get_object(self, context, parameters):
        size = int(parameters["Key"].split("-")[0])

        async def content():
            try:
                for begin in range(0, size, 1 << 20):
                    if parameters["Key"].endswith("-broken") and begin:
                        raise OSError("the disk is gone")
                    yield b"x" * min(1 << 20, size - begin)
            finally:
                await asyncio.sleep(0)
                print("closed", parameters["Key"], flush=True)  # noqa: T201

        return {"Body": content(), "ContentLength": size}


class Platform:
    def __init__(self, settings, running):
        self.proxy = Proxy(Authority.open(settings.authority), Upstream.of(os.environ), is_loopback(running.host))
        dispatcher = Dispatcher(
            [("sts", Sts(issue=lambda *_: None, now=time.time)), ("sagemaker", Models()), ("s3", Objects())], validate
        )
        self.application = Gateway(
            dispatcher,
            Keys.open(settings.credentials, settings.account),
            account=settings.account,
            region=settings.region,
            health={"sample": True},
        )

    def start(self):
        pass

    def wind_down(self):
        pass

    def stop(self):
        pass


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr)
    settings = Settings(home=Path(sys.argv[1]), port=int(sys.argv[2]))
    serve(settings, lambda running: Platform(settings, running))
