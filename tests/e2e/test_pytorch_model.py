"""The SDK's `PyTorchModel`: deployed with its own script, asked by the SDK's predictor, deleted. Real PyTorch, tiny."""

import json

import pytest

from e2e.conftest import SDK, modelwright

pytestmark = pytest.mark.timeout(900)

MODEL = """\
import json, pathlib
import torch

def model_fn(folder):
    known = json.loads((pathlib.Path(folder) / "weights.json").read_text())
    model = torch.nn.Linear(2, 1)
    with torch.no_grad():
        model.weight[:] = torch.tensor(known["weight"])
        model.bias[:] = torch.tensor(known["bias"])
    return model
"""

DEPLOY = """\
import json, pathlib, sys, tarfile
import numpy, sagemaker
from sagemaker.deserializers import JSONDeserializer
from sagemaker.pytorch import PyTorchModel
from sagemaker.serializers import JSONSerializer

folder = pathlib.Path(sys.argv[1])
(folder / "weights.json").write_text('{"weight": [[2.0, 3.0]], "bias": [0.5]}')
with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
    archive.add(folder / "weights.json", "weights.json")
session = sagemaker.Session()
data = session.upload_data(str(folder / "model.tar.gz"), key_prefix="tiny-torch")
model = PyTorchModel(model_data=data, role=sagemaker.get_execution_role(), entry_point=str(folder / "inference.py"),
                     framework_version="2.3", py_version="py311", sagemaker_session=session)
predictor = model.deploy(initial_instance_count=1, instance_type="ml.m5.large", endpoint_name="tiny-torch")
found = {"numpy": predictor.predict(numpy.array([[1, 2], [0, 0]], dtype="float32")).tolist()}
predictor.serializer, predictor.deserializer = JSONSerializer(), JSONDeserializer()
found["json"] = predictor.predict([[1.0, 1.0]])
predictor.delete_model()
predictor.delete_endpoint()
session.sagemaker_client.get_waiter("endpoint_deleted").wait(EndpointName="tiny-torch", WaiterConfig={"Delay": 1})
(folder / "found.json").write_text(json.dumps(found))
"""


def test_deploy_predict_delete(home, tmp_path):
    (tmp_path / "inference.py").write_text(MODEL)
    (tmp_path / "deploy.py").write_text(DEPLOY)
    modelwright("up", "--detach", "--port", "0", home=home)  # which runs already where the demo came before
    done = modelwright("run", "--python", str(SDK), str(tmp_path / "deploy.py"), str(tmp_path), home=home)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    found = json.loads((tmp_path / "found.json").read_text())
    assert found == {"numpy": [[8.5], [0.5]], "json": [[5.5]]}
    assert "tiny-torch" not in modelwright("endpoints", "list", "--json", home=home).stdout
