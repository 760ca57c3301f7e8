"""The table of instance types and the queue."""

import botocore.session
import pytest

from modelwright.engine.capacity import GIB, Capacity, Share, instance_type, known_instance_type, machine


@pytest.mark.parametrize(
    ("name", "vcpus", "gib", "gpus"),
    [
        ("ml.m5.large", 2, 8, 0),
        ("ml.m5.xlarge", 4, 16, 0),
        ("ml.m4.16xlarge", 64, 256, 0),
        ("ml.c5.9xlarge", 36, 72, 0),
        ("ml.c4.8xlarge", 36, 60, 0),
        ("ml.c5n.18xlarge", 72, 189, 0),
        ("ml.r5.24xlarge", 96, 768, 0),
        ("ml.t3.medium", 2, 4, 0),
        ("ml.t3.2xlarge", 8, 32, 0),
        ("ml.m8i.96xlarge", 384, 1536, 0),
        ("ml.g4dn.xlarge", 4, 16, 1),
        ("ml.g4dn.12xlarge", 48, 192, 4),
        ("ml.g5.48xlarge", 192, 768, 8),
        ("ml.p3.2xlarge", 8, 61, 1),
        ("ml.p4d.24xlarge", 96, 1152, 8),
        ("ml.p5.48xlarge", 192, 2048, 8),
        ("ml.trn1.32xlarge", 128, 512, 0),
        ("ml.c8g.medium", 1, 2, 0),
    ],
)
def test_instance_types_have_what_aws_says(name, vcpus, gib, gpus):
    found = instance_type(name)
    assert (found.vcpus, found.memory / GIB, found.gpus) == (vcpus, pytest.approx(gib), gpus)


@pytest.mark.parametrize("shape", ["TrainingInstanceType", "ProcessingInstanceType", "ProductionVariantInstanceType"])
def test_every_type_that_botocore_knows_is_known(shape):
    model = botocore.session.get_session().get_service_model("sagemaker")
    assert [name for name in model.shape_for(shape).enum if not known_instance_type(name)] == []


@pytest.mark.parametrize("name", ["ml.z9.large", "m5.large", "ml.m5", "ml.m5.0xlarge", "ml.m5.huge", "local", ""])
def test_others_are_not(name):
    assert not known_instance_type(name)


def test_a_share_is_never_more_than_the_machine():
    capacity = Capacity(Share(2, 4 * GIB))
    assert capacity.share(instance_type("ml.p5.48xlarge")) == Share(2, 4 * GIB)
    assert capacity.share(instance_type("ml.c8g.medium")) == Share(1, 2 * GIB)
    assert machine().cpus >= 1
    assert machine().memory > 0


def test_what_does_not_fit_waits_in_order_and_says_what_for():
    capacity, told = Capacity(Share(2, 8 * GIB)), []
    one, all_of_it = Share(1, GIB), Share(2, GIB)
    assert capacity.request("a", one, 1, lambda: told.append("a")) is None
    waiting = capacity.request("b", all_of_it, 2, lambda: told.append("b"))
    assert waiting == "Waiting for 2 vCPU and 1.0 GiB: 1 of 2 vCPU and 1.0 of 8.0 GiB are used by a."
    overtaking = capacity.request("c", one, 3, lambda: told.append("c"))
    assert "1 job is ahead" in overtaking
    assert told == []
    capacity.release("a")
    assert told == ["b"]
    assert capacity.request("b", all_of_it, 2, lambda: None) is None
    capacity.release("b")
    assert told == ["b", "c"]


def test_memory_counts_too_and_a_waiting_job_can_give_up():
    capacity, told = Capacity(Share(8, 8 * GIB)), []
    capacity.hold("running", Share(1, 6 * GIB))
    assert capacity.request("big", Share(1, 4 * GIB), 1, lambda: told.append("big"))
    assert capacity.request("small", Share(1, GIB), 2, lambda: told.append("small"))
    capacity.release("big")
    assert told == ["small"]


def test_after_a_restart_the_oldest_waiting_comes_first_whoever_asks_first():
    capacity, told = Capacity(Share(1, GIB)), []
    capacity.hold("running", Share(1, GIB))
    capacity.request("younger", Share(1, GIB), 20, lambda: told.append("younger"))
    capacity.request("older", Share(1, GIB), 10, lambda: told.append("older"))
    capacity.release("running")
    assert told == ["older"]
