"""Notebook instances as AWS's calls see them. The JupyterLab behind each is the engine's (`engine.notebooks`)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from modelwright.arns import sagemaker_arn
from modelwright.errors import AccessDeniedException, ValidationException
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, recorded, refused
from modelwright.services.sagemaker.base import (
    LEASE_SECONDS,
    SageMakerService,
    answer,
    is_short,
    list_query,
    pick,
    taken,
)
from modelwright.services.sagemaker.checks import NO_ENCRYPTION, ONE_MACHINE, ROLE
from modelwright.store.database import Database, Transaction
from modelwright.store.event_bus import EventBus
from modelwright.store.history import Event, History
from modelwright.store.resources import find_resource, insert_resource, list_resources, put_tags, replace_resource

KIND = "NotebookInstance"

_NETWORK = refused("Leave it out: a notebook is reached at this machine's own address.")
_REPOSITORIES = refused("Leave it out, and clone the repository in a terminal of the notebook.")
_LIFECYCLE = refused("Leave it out: lifecycle configurations are not supported; the folder of the notebook stays.")

CREATE_MEMBERS: Table = {
    "NotebookInstanceName": HONOURED,
    "InstanceType": HONOURED,
    "RoleArn": recorded(ROLE),
    "Tags": HONOURED,
    "SubnetId": _NETWORK,
    "SecurityGroupIds": _NETWORK,
    "IpAddressType": refused("Leave it out: it listens on this machine's own address.", "ipv4"),
    "DirectInternetAccess": refused("Leave it out: a notebook reaches what this machine reaches.", "Enabled"),
    "KmsKeyId": recorded(NO_ENCRYPTION),
    "VolumeSizeInGB": recorded(ONE_MACHINE.format("volume size")),
    "LifecycleConfigName": _LIFECYCLE,
    "AcceleratorTypes": refused("Leave it out: Elastic Inference is not there."),
    "DefaultCodeRepository": _REPOSITORIES,
    "AdditionalCodeRepositories": _REPOSITORIES,
    "RootAccess": recorded("A notebook's container has a user of its own, who owns nothing outside."),
    "PlatformIdentifier": recorded("It runs the JupyterLab of the image aws/sagemaker/notebook."),
    "InstanceMetadataServiceConfiguration": recorded(ONE_MACHINE.format("instance metadata service")),
}

URL_MEMBERS: Table = {
    "NotebookInstanceName": HONOURED,
    "SessionExpirationDurationInSeconds": recorded("The address is good until the notebook is stopped."),
}

_RECORDED = ("RoleArn", "KmsKeyId", "VolumeSizeInGB", "RootAccess", "PlatformIdentifier",
             "InstanceMetadataServiceConfiguration")  # fmt: skip


class NotebookInstances(SageMakerService):
    """CreateNotebookInstance and what belongs to it."""

    def __init__(
        self,
        *,
        database: Database,
        history: History,
        events: EventBus,
        now: Callable[[], float],
        token: Callable[[str], str],
        host: str,
    ) -> None:
        """`token(ID:ATTEMPT)` opens a started notebook; `host` is where they listen."""
        super().__init__(database=database, history=history, events=events, now=now)
        self._token = token
        self._host = host

    @operation("CreateNotebookInstance", members=CREATE_MEMBERS)
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        """It starts at once. Raises ValidationException when there is one of this name."""
        name, now = parameters["NotebookInstanceName"], self.now()
        arn = sagemaker_arn(context.region, context.account, "notebook-instance", name)
        identity = uuid.uuid4().hex[:16]
        document = {
            "NotebookInstanceArn": arn,
            "NotebookInstanceName": name,
            "NotebookInstanceStatus": "Pending",
            "InstanceType": parameters["InstanceType"],
            "DirectInternetAccess": "Enabled",
            "VolumeSizeInGB": 5,
            "RootAccess": "Enabled",
            **pick(parameters, *_RECORDED),
            "CreationTime": now,
            "LastModifiedTime": now,
            "_Id": identity,
            "_Owner": context.principal.arn,
            "_Attempt": 1,
            "_Stream": f"notebook-instance/{name}/{identity}",
        }
        with self.database.write() as transaction:
            if taken(transaction, KIND, name, arn):
                raise ValidationException(f"Cannot create already existing notebook instance ({arn}).")
            insert_resource(transaction, KIND, name, document, created=now, arn=arn, status="Pending")
            put_tags(transaction, arn, parameters.get("Tags", []))
            created = Event("Created", {}, now)
            self.history.open(transaction, document["_Stream"], KIND, [created], lease_until=now + LEASE_SECONDS)
        return {"NotebookInstanceArn": arn}

    @operation("DescribeNotebookInstance", quick=True)
    def describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            return _find(transaction, parameters["NotebookInstanceName"])

    @operation("ListNotebookInstances", quick=is_short)
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        unknown = {
            "NotebookInstanceLifecycleConfigNameContains", "DefaultCodeRepositoryContains",
            "AdditionalCodeRepositoryEquals",
        } & parameters.keys()  # fmt: skip
        if unknown:  # no notebook here has any
            return {"NotebookInstances": []}
        query = list_query(KIND, parameters, status=parameters.get("StatusEquals"))
        with self.database.read() as transaction:
            page = list_resources(transaction, query)
        members = (
            "NotebookInstanceName", "NotebookInstanceArn", "NotebookInstanceStatus", "Url", "InstanceType",
            "CreationTime", "LastModifiedTime",
        )  # fmt: skip
        return answer("NotebookInstances", page, lambda notebook: pick(notebook, *members))

    @operation("StartNotebookInstance")
    def start(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Raises ValidationException unless it is stopped or has failed."""
        with self.database.write() as transaction:
            notebook = _in(transaction, parameters["NotebookInstanceName"], ("Stopped", "Failed"), "Pending")
            self._request(transaction, notebook, "StartRequested", "Pending")
        return {}

    @operation("StopNotebookInstance")
    def stop(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Its folder stays. Raises ValidationException unless it is in service or starting."""
        with self.database.write() as transaction:
            notebook = _in(transaction, parameters["NotebookInstanceName"], ("InService", "Pending"), "Stopping")
            self._request(transaction, notebook, "StopRequested", "Stopping")
        return {}

    @operation("DeleteNotebookInstance")
    def delete(self, _: Context, parameters: dict[str, Any]) -> Document:
        """With its folder. Raises ValidationException unless it is stopped or has failed."""
        with self.database.write() as transaction:
            notebook = _in(transaction, parameters["NotebookInstanceName"], ("Stopped", "Failed"), "Deleting")
            self._request(transaction, notebook, "DeleteRequested", "Deleting")
        return {}

    @operation("CreatePresignedNotebookInstanceUrl", members=URL_MEMBERS)
    def url(self, context: Context, parameters: dict[str, Any]) -> Document:
        """The address that opens it, for who has created it: another's browser would run that user's code, and with
        the cookies of this machine's pages. Raises ValidationException unless it is in service.
        """
        with self.database.read() as transaction:
            notebook = _find(transaction, parameters["NotebookInstanceName"])
        if notebook["_Owner"] != context.principal.arn:
            raise AccessDeniedException(
                f"Only {notebook['_Owner'].rpartition('/')[2]}, who created it, opens the notebook instance "
                f"{notebook['NotebookInstanceName']}: what is in it would run in your browser. Create one of your own."
            )
        if notebook["NotebookInstanceStatus"] != "InService":
            raise ValidationException(
                f"Status ({notebook['NotebookInstanceStatus']}) not in ([InService]). "
                f"Notebook Instance ({notebook['NotebookInstanceArn']}) can't be opened: start it first."
            )
        token = self._token(f"{notebook['_Id']}:{notebook['_Attempt']}")
        return {"AuthorizedUrl": f"http://{self._host}:{notebook['_Port']}/lab?token={token}"}

    def _request(self, transaction: Transaction, notebook: Document, kind: str, status: str) -> None:
        now = self.now()
        name = notebook["NotebookInstanceName"]
        before = notebook["NotebookInstanceStatus"]
        changed = {**notebook, "NotebookInstanceStatus": status, "LastModifiedTime": now}
        replace_resource(transaction, KIND, name, changed, modified=now, status=status)
        event = Event(kind, {}, now)
        if before in ("Stopped", "Failed"):
            self.history.reopen(transaction, notebook["_Stream"], [event], lease_until=now + LEASE_SECONDS)
        else:
            self.history.append(transaction, notebook["_Stream"], [event])


def _find(transaction: Transaction, name: str, *, lock: bool = False) -> Document:
    notebook = find_resource(transaction, KIND, name, lock=lock)
    if notebook is None:
        raise ValidationException(f"RecordNotFound: the notebook instance {name} does not exist.")
    return notebook


def _in(transaction: Transaction, name: str, allowed: tuple[str, ...], wanted: str) -> Document:
    """A notebook that is in one of these states. Raises ValidationException in AWS's words."""
    notebook = _find(transaction, name, lock=True)
    status = notebook["NotebookInstanceStatus"]
    if status not in allowed:
        raise ValidationException(
            f"Status ({status}) not in ([{', '.join(allowed)}]). Unable to transition to ({wanted}) for Notebook "
            f"Instance ({notebook['NotebookInstanceArn']})."
        )
    return notebook
