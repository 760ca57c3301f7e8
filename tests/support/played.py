"""A home in which much has happened, though nothing of it ran: services write what they write, this plays the engine.

Times are a clock's that the test moves, so they are always the same. At the end the streams are closed: a server that
is started on the home leaves all as it is.
"""

import json

from sqlalchemy import update

from modelwright.lifecycles import codepipeline, execution
from modelwright.lifecycles.codepipeline_state import Pipeline
from modelwright.server.keys import Keys
from modelwright.services.dispatch import Context
from modelwright.store.codepipelines import save, stream_of
from modelwright.store.database import Database, stream_table
from modelwright.store.history import Event, History
from modelwright.store.logs import put_log_events
from modelwright.store.resources import find_resource, replace_resource
from support.codepipelines import World, pipeline
from support.doors import ACCOUNT, ROLE, Clock, Door
from support.pipelines import add_pipelines, token

START = 1_772_416_800.0
"""2 March 2026, 11:00 in Seoul."""
NOW = START + 7 * 86_400
"""When the pictures are taken."""
REGION = "us-east-1"
BUCKET = f"sagemaker-{REGION}-{ACCOUNT}"


class Furnished:
    """Fills a home that no server has been started on."""

    def __init__(self, settings):
        self.settings = settings
        settings.home.mkdir(parents=True, exist_ok=True)
        self.database = Database(settings.database_url)
        self.history = History("earlier")
        self.clock = Clock(START)
        self.door = add_pipelines(Door(self.database, self.history, self.clock), objects=None)
        admin = Keys.open(settings.credentials, settings.account).admin.principal
        self.door.context = Context(ACCOUNT, REGION, admin)
        self.deployments = World(self.database, self.history, self.clock)
        self.deployments.context = self.door.context

    def close(self):
        """The engine of a server leaves alone what has ended."""
        with self.database.write() as transaction:
            transaction.execute(update(stream_table).values(ended=True))
        self.database.close()

    # Model building

    def pipeline(self, name, steps, parameters=()):
        definition = {"Version": "2020-12-01", "Metadata": {}, "Parameters": list(parameters), "Steps": list(steps)}
        self.door(
            "CreatePipeline", PipelineName=name, PipelineDefinition=json.dumps(definition), RoleArn=ROLE,
            ClientRequestToken=token(name),
        )  # fmt: skip

    def run(self, name, title, plays, stop=False, **values):
        """An execution; `plays` has for each step how it goes: seconds, or (seconds, why it failed), or "running"."""
        arn = self.door(
            "StartPipelineExecution", PipelineName=name, PipelineExecutionDisplayName=title,
            ClientRequestToken=token((name, title)),
            **({"PipelineParameters": [{"Name": k, "Value": str(v)} for k, v in values.items()]} if values else {}),
        )["PipelineExecutionArn"]  # fmt: skip
        while True:
            state = self._decided(arn)
            waiting = [run for run in state.runs.values() if run.status == "Starting"]
            if not waiting or (plays[waiting[0].name] == "running" and len(waiting) == 1):
                break
            for each in waiting:
                play = plays[each.name]
                if play == "running":
                    continue
                self._play(arn, state, each.name, play)
        for each in waiting:
            self._tell(
                arn, ("StepStarted", {"step": each.name, "metadata": self._job(arn, state, each.name, None, "")})
            )
        if stop:
            self.door("StopPipelineExecution", PipelineExecutionArn=arn, ClientRequestToken=token(("stop", title)))
            self._decided(arn)
            for each in waiting:
                self._tell(arn, ("StepEnded", {"step": each.name, "status": "Stopped"}))
                self._stopped(f"pipelines-{arn[-12:]}-{each.name}")
            self._decided(arn)
        self.clock.advance(3600)
        return arn

    def _stopped(self, job):
        now = self.clock.time
        with self.database.write() as transaction:
            document = find_resource(transaction, "TrainingJob", job)
            document |= {"TrainingJobStatus": "Stopped", "SecondaryStatus": "Stopped", "TrainingEndTime": now}
            replace_resource(transaction, "TrainingJob", job, document, modified=now, status="Stopped")

    def _play(self, arn, state, name, play):
        seconds, failure = play if isinstance(play, tuple) else (play, "")
        step, data = state.step(name), {"step": name}
        if step.type == "Condition":
            data |= {
                "status": "Succeeded",
                "outcome": bool(seconds),
                "metadata": {"Condition": {"Outcome": str(bool(seconds))}},
            }
        else:
            metadata = self._job(arn, state, name, seconds, failure)
            self._tell(arn, ("StepStarted", {"step": name, "metadata": metadata}))
            self.clock.advance(seconds)
            data |= {"status": "Failed" if failure else "Succeeded", "metadata": metadata}
            if failure:
                data["failure_reason"] = failure
        self._tell(arn, ("StepEnded", data))

    def _job(self, arn, state, name, seconds, failure):
        """The metadata of a step that runs a job, with the job and its log."""
        step = state.step(name)
        if step.type not in ("Training", "Processing"):
            return {}
        job = f"pipelines-{arn[-12:]}-{name}"[:63]
        noun, status = f"{step.type}Job", "Failed" if failure else "InProgress" if seconds is None else "Completed"
        request = json.loads(json.dumps(step.arguments))
        document = self.job(noun, job, request, status, seconds or 0, failure)
        return {noun: {"Arn": document[f"{noun}Arn"]}}

    def job(self, noun, name, request, status, seconds, failure="", lines=None):
        self.door(f"Create{noun}", **{f"{noun}Name": name}, **_plain(request))
        at = self.clock.time
        with self.database.write() as transaction:
            document = find_resource(transaction, noun, name)
            end = at + seconds
            document |= {f"{noun}Status": status, "LastModifiedTime": end}
            document[noun.replace("Job", "StartTime")] = at + 1
            if status != "InProgress":
                document[noun.replace("Job", "EndTime")] = end
            if failure:
                document["FailureReason"] = failure
            if noun == "TrainingJob":
                document |= _trained(name, status, at, end)
            replace_resource(transaction, noun, name, document, modified=end, status=status)
            self.history.append(transaction, f"{noun[:-3].lower()}-job/{name}", _facts(status, at, end))
            log = lines or (_training_log(failure) if noun == "TrainingJob" else _evaluation_log())
            if status == "InProgress":
                log = log[: len(log) // 2]
            stamped = [(int((at + 2 + i * (seconds or 60) / len(log)) * 1000), line) for i, line in enumerate(log)]
            put_log_events(transaction, f"/aws/sagemaker/{noun}s", f"{name}/algo-1-{int(at)}", stamped, int(end * 1000))
        return document

    def _decided(self, arn):
        while facts := execution.decide(self._state(arn)):
            for fact in facts:
                self._tell(arn, fact)
        return self._state(arn)

    def _state(self, arn):
        with self.database.read() as transaction:
            events = self.history.read(transaction, f"execution/{arn[-12:]}")
        return execution.fold((event.kind, event.data, event.time) for event in events)

    def _tell(self, arn, fact):
        identity, now = arn[-12:], self.clock.time
        with self.database.write() as transaction:
            self.history.append(transaction, f"execution/{identity}", [Event(*fact, now)])
            document = find_resource(transaction, "PipelineExecution", identity)
            document, status = {**document, "LastModifiedTime": now}, None
            if fact[0] == "ExecutionEnded":
                status = document["PipelineExecutionStatus"] = fact[1]["status"]
                if "failure_reason" in fact[1]:
                    document["FailureReason"] = fact[1]["failure_reason"]
            replace_resource(transaction, "PipelineExecution", identity, document, modified=now, status=status)

    # Deployment

    def deployment(self, name, stages, endings):
        """A pipeline and its first execution. `endings`: action → (seconds, detail), (seconds, detail, status), or a
        comment of whom an approval was given by; an approval that isn't named waits."""
        self.deployments("CreatePipeline", pipeline=pipeline(*stages, name=name))
        self.release(name, endings)

    def release(self, name, endings):
        while True:
            with self.database.write() as transaction:
                state = Pipeline(name=name)
                for event in self.history.read(transaction, stream_of(name)):
                    state = codepipeline.apply(state, event.kind, event.data, event.time)
                facts = codepipeline.decide(state) or self._acted(state, endings)
                if not facts:
                    return
                events = [Event(kind, data, self.clock.time) for kind, data in facts]
                for event in events:
                    state = codepipeline.apply(state, event.kind, event.data, event.time)
                self.history.append(transaction, stream_of(name), events)
                save(transaction, self.door.events, state, events)

    def _acted(self, state, endings):
        for effect in codepipeline.outstanding(state):
            run = state.action(effect.key)
            ending = endings.get(run.name)
            if run.status == "Starting" and (ending is None or run.is_approval):
                return [("ActionStarted", {"action": run.id, "detail": {}})]
            if ending is None:
                continue
            if run.is_approval:
                self.clock.advance(1800)
                by = self.door.context.principal.arn
                return [("ApprovalGiven", {"action": run.id, "status": "Approved", "summary": ending, "by": by})]
            seconds, detail, *status = ending
            self.clock.advance(seconds)
            return [
                ("ActionEnded", {"action": run.id, "status": status[0] if status else "Succeeded", "detail": detail})
            ]
        return []


def _plain(request):
    """Arguments with what the pipeline would have put in."""
    if isinstance(request, dict):
        if "Get" in request:
            return "30" if request["Get"].startswith("Parameters.") else "s3://earlier/place"
        return {key: _plain(value) for key, value in request.items()}
    return [_plain(item) for item in request] if isinstance(request, list) else request


def _facts(status, at, end):
    """How long it waited for its image and inputs, and stored its outputs."""
    began = min(8, (end - at) / 5) if end > at else 2
    facts = [Event("Preparing", {}, at), Event("Prepared", {"Began": at + began / 2}, at + began / 2)]
    facts.append(Event("Started", {}, at + began))
    if status != "InProgress":
        facts += [Event("Exited", {"Ended": end - began / 2}, end - began / 2), Event("Ended", {"status": status}, end)]
    return facts


def _trained(name, status, at, end):
    stages = [("Starting", 2), ("Downloading", 6), ("Training", 0), ("Uploading", 4)]
    transitions, begin = [], at
    for stage_name, seconds in stages:
        finish = begin + seconds if seconds else max(begin + 1, end - 4)
        transitions.append({"Status": stage_name, "StartTime": begin, "EndTime": finish, "StatusMessage": stage_name})
        begin = finish
    found = {
        "SecondaryStatus": "Completed" if status == "Completed" else "Failed",
        "SecondaryStatusTransitions": transitions,
    }
    if status == "Completed":
        found["ModelArtifacts"] = {"S3ModelArtifacts": f"s3://{BUCKET}/models/{name}/output/model.tar.gz"}
        found["FinalMetricDataList"] = [
            {"MetricName": "validation:pose_mAP50", "Value": 0.8714, "Timestamp": end},
            {"MetricName": "train:loss", "Value": 0.2931, "Timestamp": end},
        ]
    else:
        found["SecondaryStatus"] = status if status == "Failed" else "Training"
    return found


def _training_log(failure):
    lines = ["epochs=20 imgsz=160 batch=16 lr0=0.001 optimizer=adamw", "train: 200 images, val: 24 images"]
    if failure:
        return [
            *lines,
            "Traceback (most recent call last):",
            '  File "/opt/ml/code/train.py", line 84, in <module>',
            "    data = read(Path(os.environ['SM_CHANNEL_TRAIN']))",
            '  File "/opt/ml/code/train.py", line 31, in read',
            "ValueError: train/labels/000113.txt has 55 columns, not 56",
        ]
    for epoch in range(1, 21):
        loss, score = 2.4 / epoch**0.7, 0.89 * (1 - 0.86**epoch)
        lines.append(f"epoch={epoch}/20 loss={loss:.4f} pose_mAP50={score:.4f}")
    return [*lines, "best weights: /opt/ml/model/best.pt"]


def _evaluation_log():
    return [
        "40 images of the test split",
        "mAP50=0.8714 mAP50-95=0.6122",
        "written: /opt/ml/processing/evaluation/evaluation.json",
    ]
