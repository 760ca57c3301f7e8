"""CodeCommit by its API, on real repositories."""

import itertools
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from modelwright.errors import AwsError
from modelwright.repositories.home import Repositories
from modelwright.services import codecommit
from modelwright.services.codecommit.announcements import Announcements
from support.doors import ACCOUNT, IDENTITY, REGION
from support.waiting import until


@pytest.fixture
def repositories(tmp_path):
    return Repositories(tmp_path / "repositories", fsync=False)


@pytest.fixture
def announcements(door, repositories):
    return Announcements(
        database=door.database, repositories=repositories, events=door.events, now=door.clock, account=ACCOUNT
    )


@pytest.fixture
def told(door):
    """The events' details, as they come."""
    details = []
    door.events.listen("aws.codecommit", lambda _, kind, detail, time: details.append(dict(detail)))
    return details


@pytest.fixture
def code(door, repositories, announcements):
    for service, group in codecommit.services(
        database=door.database, repositories=repositories, announcements=announcements, now=door.clock
    ):
        door.dispatcher.add(service, group)
    return door.of("codecommit")


@pytest.fixture
def repository(code):
    return code("CreateRepository", repositoryName="pose")["repositoryMetadata"]


def put(path, content=b"x", **more):
    return {"filePath": path, "fileContent": content, **more}


def commit(code, parent=None, branch="main", **changes):
    parameters = {"parentCommitId": parent} if parent else {}
    return code("CreateCommit", repositoryName="pose", branchName=branch, **parameters, **changes)


@pytest.fixture
def first(code, repository, told):
    files = [put("a.txt", b"one\n"), put("d/run.sh", b"#!", fileMode="EXECUTABLE"), put("d/e/f", b"f")]
    return commit(code, putFiles=files)["commitId"]


def refused(code, operation, **parameters):
    with pytest.raises(AwsError) as failure:
        code(operation, **parameters)
    return failure.value.code.removesuffix("Exception")


def tip(code, branch="main"):
    return code("GetBranch", repositoryName="pose", branchName=branch)["branch"]["commitId"]


# Repositories


def test_a_repositorys_life(code, repositories):
    made = code("CreateRepository", repositoryName="pose", repositoryDescription="Poses", tags={"team": "vision"})
    found = made["repositoryMetadata"]
    assert found["Arn"] == f"arn:aws:codecommit:{REGION}:{ACCOUNT}:pose"
    assert found["cloneUrlHttp"] == f"https://git-codecommit.{REGION}.amazonaws.com/v1/repos/pose"
    assert code("GetRepository", repositoryName="pose")["repositoryMetadata"] == found
    assert code("ListTagsForResource", resourceArn=found["Arn"])["tags"] == {"team": "vision"}
    code("UpdateRepositoryDescription", repositoryName="pose", repositoryDescription="")
    code("UpdateRepositoryName", oldName="pose", newName="poses")
    renamed = code("GetRepository", repositoryName="poses")["repositoryMetadata"]
    assert renamed["repositoryId"] == found["repositoryId"]
    assert renamed["Arn"].endswith(":poses")
    assert "repositoryDescription" not in renamed
    code("TagResource", resourceArn=renamed["Arn"], tags={"stage": "test"})
    code("UntagResource", resourceArn=renamed["Arn"], tagKeys=["team"])
    assert code("ListTagsForResource", resourceArn=renamed["Arn"])["tags"] == {"stage": "test"}
    assert refused(code, "GetRepository", repositoryName="pose") == "RepositoryDoesNotExist"
    path = repositories.open(found["repositoryId"]).path
    assert path.exists()
    assert code("DeleteRepository", repositoryName="poses") == {"repositoryId": found["repositoryId"]}
    assert not path.exists()
    assert code("DeleteRepository", repositoryName="poses") == {}


def test_lists(code, clock):
    for name in ("b", "a", "c"):
        clock.advance(1)
        code("CreateRepository", repositoryName=name)

    def names(**parameters):
        return [each["repositoryName"] for each in code("ListRepositories", **parameters)["repositories"]]

    assert names() == ["a", "b", "c"]
    assert names(sortBy="lastModifiedDate", order="descending") == ["c", "a", "b"]
    found = code("BatchGetRepositories", repositoryNames=["a", "z"])
    assert [each["repositoryName"] for each in found["repositories"]] == ["a"]
    assert found["repositoriesNotFound"] == ["z"]
    assert refused(code, "ListRepositories", nextToken="nonsense") == "InvalidContinuationToken"


@pytest.mark.parametrize(
    ("operation", "parameters", "code_"),
    [
        ("CreateRepository", {"repositoryName": "pose"}, "RepositoryNameExists"),
        ("CreateRepository", {"repositoryName": "a/b"}, "InvalidRepositoryName"),
        ("CreateRepository", {"repositoryName": "a.git"}, "InvalidRepositoryName"),
        ("CreateRepository", {"repositoryName": ".."}, "InvalidRepositoryName"),
        ("CreateRepository", {"repositoryName": "x" * 101}, "InvalidRepositoryName"),
        ("CreateRepository", {}, "RepositoryNameRequired"),
        ("CreateRepository", {"repositoryName": "x", "tags": {"aws:x": "y"}}, "InvalidSystemTagUsage"),
        ("CreateRepository", {"repositoryName": "x", "kmsKeyId": "k"}, "UnsupportedOperation"),
        ("GetRepository", {"repositoryName": "none"}, "RepositoryDoesNotExist"),
        ("UpdateRepositoryName", {"oldName": "none", "newName": "x"}, "RepositoryDoesNotExist"),
        ("BatchGetRepositories", {"repositoryNames": [str(n) for n in range(26)]}, "MaximumRepositoryNamesExceeded"),
        ("ListRepositories", {"sortBy": "size"}, "InvalidSortBy"),
        ("TagResource", {"resourceArn": "x", "tags": {}}, "InvalidResourceArn"),
        ("UpdateDefaultBranch", {"repositoryName": "pose", "defaultBranchName": "x"}, "BranchDoesNotExist"),
        ("GetBranch", {"repositoryName": "pose"}, "BranchNameRequired"),
        ("GetBranch", {"repositoryName": "pose", "branchName": "--all"}, "InvalidBranchName"),
        ("GetFile", {"repositoryName": "pose", "filePath": "a"}, "CommitDoesNotExist"),
        ("GetCommit", {"repositoryName": "pose", "commitId": "--all"}, "InvalidCommitId"),
        ("GetCommit", {"repositoryName": "pose", "commitId": "0" * 40}, "CommitIdDoesNotExist"),
        ("GetBlob", {"repositoryName": "pose", "blobId": "main"}, "InvalidBlobId"),
        ("GetBlob", {"repositoryName": "pose", "blobId": "0" * 40}, "BlobIdDoesNotExist"),
    ],
)
def test_refusals(code, repository, operation, parameters, code_):
    assert refused(code, operation, **parameters) == code_


# Branches


def test_branches(code, first, told):
    code("CreateBranch", repositoryName="pose", branchName="feature/x", commitId=first)
    assert code("ListBranches", repositoryName="pose")["branches"] == ["feature/x", "main"]
    assert tip(code, "feature/x") == first
    again = {"repositoryName": "pose", "branchName": "feature/x", "commitId": first}
    assert refused(code, "CreateBranch", **again) == "BranchNameExists"
    assert refused(code, "CreateBranch", **{**again, "branchName": "feature"}) == "InvalidBranchName"
    assert refused(code, "CreateBranch", **{**again, "branchName": "y", "commitId": "0" * 40}) == "CommitDoesNotExist"
    assert refused(code, "DeleteBranch", repositoryName="pose", branchName="main") == "DefaultBranchCannotBeDeleted"
    code("UpdateDefaultBranch", repositoryName="pose", defaultBranchName="feature/x")
    gone = code("DeleteBranch", repositoryName="pose", branchName="main")
    assert gone["deletedBranch"] == {"branchName": "main", "commitId": first}
    assert code("DeleteBranch", repositoryName="pose", branchName="main") == {}
    assert [(each["event"], each["referenceName"]) for each in told] == [
        ("referenceCreated", "main"),
        ("referenceCreated", "feature/x"),
        ("referenceDeleted", "main"),
    ]


# Commits


def test_a_commit_of_everything(code, first):
    made = commit(
        code,
        first,
        putFiles=[put("a.txt", b"two\n"), put("new/deep/file", b"n")],
        deleteFiles=[{"filePath": "d/e/f"}],
        setFileModes=[{"filePath": "d/run.sh", "fileMode": "NORMAL"}],
        commitMessage="All at once",
        authorName="Ann",
        email="ann@x",
    )
    assert [each["absolutePath"] for each in made["filesAdded"]] == ["new/deep/file"]
    assert [each["absolutePath"] for each in made["filesUpdated"]] == ["a.txt", "d/run.sh"]
    assert [each["absolutePath"] for each in made["filesDeleted"]] == ["d/e/f"]
    found = code("GetCommit", repositoryName="pose", commitId=made["commitId"])["commit"]
    assert found["parents"] == [first]
    assert found["message"] == "All at once"
    assert found["author"] == {"name": "Ann", "email": "ann@x", "date": "1790000000 +0000"}
    folder = code("GetFolder", repositoryName="pose", folderPath="d")
    assert folder["subFolders"] == []  # a folder without files is none
    assert [(each["relativePath"], each["fileMode"]) for each in folder["files"]] == [("run.sh", "NORMAL")]
    file = code("GetFile", repositoryName="pose", filePath="/a.txt", commitSpecifier="main")
    assert (file["fileContent"], file["fileSize"], file["filePath"]) == (b"two\n", 4, "a.txt")
    assert code("GetBlob", repositoryName="pose", blobId=file["blobId"])["content"] == b"two\n"
    old = code("GetFile", repositoryName="pose", filePath="a.txt", commitSpecifier=first)
    assert old["fileContent"] == b"one\n"


def test_moves_copies_and_links(code, first):
    made = commit(
        code,
        first,
        putFiles=[
            {"filePath": "b.txt", "sourceFile": {"filePath": "a.txt", "isMove": True}},
            {"filePath": "d/copy.sh", "sourceFile": {"filePath": "d/run.sh"}},
            put("link", b"b.txt", fileMode="SYMLINK"),
        ],
    )
    assert [each["absolutePath"] for each in made["filesDeleted"]] == ["a.txt"]
    root = code("GetFolder", repositoryName="pose", folderPath="/")
    assert [each["relativePath"] for each in root["symbolicLinks"]] == ["link"]
    assert [each["relativePath"] for each in root["files"]] == ["b.txt"]
    copy = code("GetFile", repositoryName="pose", filePath="d/copy.sh")
    assert (copy["fileMode"], copy["fileContent"]) == ("EXECUTABLE", b"#!")
    changes = code("GetDifferences", repositoryName="pose", beforeCommitSpecifier=first, afterCommitSpecifier="main")
    moved = [each for each in changes["differences"] if each["changeType"] == "M"]
    assert [(each["beforeBlob"]["path"], each["afterBlob"]["path"]) for each in moved] == [("a.txt", "b.txt")]


def test_a_file_becomes_a_folder(code, first):
    made = commit(code, first, putFiles=[put("a.txt/inner")], deleteFiles=[{"filePath": "a.txt"}])
    assert code("GetFolder", repositoryName="pose", folderPath="a.txt", commitSpecifier=made["commitId"])["files"]


def test_empty_folders_are_kept_when_asked(code, first):
    commit(code, first, deleteFiles=[{"filePath": "d/e/f"}], keepEmptyFolders=True)
    kept = code("GetFolder", repositoryName="pose", folderPath="d/e")["files"]
    assert [each["relativePath"] for each in kept] == [".gitkeep"]


ONE = {"putFiles": [put("new")]}


@pytest.mark.parametrize(
    ("changes", "code_"),
    [
        ({}, "FileEntryRequired"),
        ({"putFiles": [put(str(n)) for n in range(101)]}, "MaximumFileEntriesExceeded"),
        ({"putFiles": [put("x"), put("x")]}, "SamePathRequest"),
        ({"putFiles": [put("x")], "deleteFiles": [{"filePath": "x"}]}, "SamePathRequest"),
        ({"putFiles": [put("x"), put("x/y")]}, "PutFileEntryConflict"),
        ({"putFiles": [{"filePath": "x"}]}, "SourceFileOrContentRequired"),
        ({"putFiles": [put("x", sourceFile={"filePath": "a.txt"})]}, "FileContentAndSourceFileSpecified"),
        ({"putFiles": [{"filePath": "x", "sourceFile": {"filePath": "none"}}]}, "FileDoesNotExist"),
        ({"putFiles": [{"filePath": "x", "sourceFile": {"filePath": "d/.gitkeep"}}]}, "RestrictedSourceFile"),
        ({"putFiles": [put("../x")]}, "InvalidPath"),
        ({"putFiles": [put("/x")]}, "InvalidPath"),
        ({"putFiles": [put(".git/hooks/post-update")]}, "InvalidPath"),
        ({"putFiles": [put("")]}, "PathRequired"),
        ({"putFiles": [put("d")]}, "FileNameConflictsWithDirectoryName"),
        ({"putFiles": [put("a.txt/x")]}, "DirectoryNameConflictsWithFileName"),
        ({"putFiles": [put("a.txt", b"one\n")]}, "NoChange"),
        ({"putFiles": [put("x", fileMode="ODD")]}, "InvalidFileMode"),
        ({"putFiles": [put("x", b"x" * 6_291_457)]}, "FileContentSizeLimitExceeded"),
        ({"putFiles": [put(str(n), b"x" * 6_000_000) for n in range(4)]}, "FolderContentSizeLimitExceeded"),
        ({"deleteFiles": [{"filePath": "none"}]}, "FileDoesNotExist"),
        ({"deleteFiles": [{"filePath": "d"}]}, "FileDoesNotExist"),
        ({"setFileModes": [{"filePath": "none", "fileMode": "NORMAL"}]}, "FileDoesNotExist"),
        ({**ONE, "email": "a <b>"}, "InvalidEmail"),
        ({**ONE, "authorName": "x" * 1001}, "NameLengthExceeded"),
        ({**ONE, "commitMessage": "x" * 20_481}, "CommitMessageLengthExceeded"),
        ({**ONE, "branch": "refs/tags/v1"}, "BranchNameIsTagName"),
        ({**ONE, "branch": "other"}, "BranchDoesNotExist"),
        ({**ONE, "branch": "a..b"}, "InvalidBranchName"),
        ({**ONE, "parent": "main"}, "InvalidParentCommitId"),
        ({**ONE, "parent": "0" * 40}, "ParentCommitDoesNotExist"),
        ({**ONE, "parent": None}, "ParentCommitIdRequired"),
    ],
)
def test_commits_that_are_refused_leave_nothing(code, first, told, changes, code_):
    with pytest.raises(AwsError) as failure:
        commit(code, **{"parent": first, **changes})
    assert failure.value.code == f"{code_}Exception"
    assert tip(code) == first
    assert [each["commitId"] for each in told] == [first]


def test_who_has_not_seen_the_branch_does_not_change_it(code, first):
    commit(code, first, **ONE)
    with pytest.raises(AwsError, match=r"last commit of the branch main, which is [0-9a-f]{40}") as failure:
        commit(code, first, putFiles=[put("other")])
    assert failure.value.code == "ParentCommitIdOutdatedException"


def test_the_first_commit_has_no_parent(code, repository):
    with pytest.raises(AwsError) as failure:
        commit(code, "0" * 40, **ONE)
    assert failure.value.code == "ParentCommitDoesNotExistException"
    commit(code, branch="trunk", **ONE)
    assert code("GetRepository", repositoryName="pose")["repositoryMetadata"]["defaultBranch"] == "trunk"


def test_putting_and_deleting_a_file(code, first):
    place = {"repositoryName": "pose", "branchName": "main", "filePath": "d/x"}
    made = code("PutFile", **place, fileContent=b"1", parentCommitId=first, name="Ann", commitMessage="one")
    same = {**place, "fileContent": b"1", "parentCommitId": made["commitId"]}
    assert refused(code, "PutFile", **same) == "SameFileContent"
    edited = code("PutFile", **{**same, "fileContent": b"2"})
    message = code("GetCommit", repositoryName="pose", commitId=edited["commitId"])["commit"]["message"]
    assert message == "Edited d/x"
    gone = code("DeleteFile", **place, parentCommitId=edited["commitId"])
    assert (gone["blobId"], gone["filePath"]) == (edited["blobId"], "d/x")
    assert refused(code, "GetFile", repositoryName="pose", filePath="d/x") == "FileDoesNotExist"
    history = code("ListFileCommitHistory", repositoryName="pose", filePath="d/x")["revisionDag"]
    assert [each["commit"]["commitId"] for each in history] == [edited["commitId"], made["commitId"]]


def test_a_batch_of_commits(code, first):
    found = code("BatchGetCommits", repositoryName="pose", commitIds=[first, "0" * 40, "x"])
    assert [each["commitId"] for each in found["commits"]] == [first]
    assert [each["errorCode"] for each in found["errors"]] == [
        "CommitIdDoesNotExistException",
        "InvalidCommitIdException",
    ]


def test_differences_come_in_pages(code, first):
    commit(code, first, putFiles=[put(f"p/{n}") for n in range(5)])

    def differences(**more):
        return code("GetDifferences", repositoryName="pose", afterCommitSpecifier="main", **more)

    found, token = [], None
    for _ in range(3):
        page = differences(beforeCommitSpecifier=first, MaxResults=2, **({"NextToken": token} if token else {}))
        found += [each["afterBlob"]["path"] for each in page["differences"]]
        token = page.get("NextToken")
    assert found == [f"p/{n}" for n in range(5)]
    assert token is None
    assert len(differences()["differences"]) == 8  # against nothing
    assert len(differences(afterPath="p")["differences"]) == 5
    with pytest.raises(AwsError) as failure:
        differences(afterPath="none")
    assert failure.value.code == "PathDoesNotExistException"


def test_commits_at_once_are_one_after_the_other(code, first):
    def attempt(number):
        try:
            commit(code, first, putFiles=[put(f"n{number}")])
        except AwsError as error:
            return error.code
        return "made"

    with ThreadPoolExecutor(6) as pool:
        outcomes = sorted(pool.map(attempt, range(6)))
    assert outcomes == ["ParentCommitIdOutdatedException"] * 5 + ["made"]


# Events


def test_the_details_are_awss(code, first, repository, told):
    second = commit(code, first, **ONE)["commitId"]
    base = {
        "repositoryName": "pose",
        "repositoryId": repository["repositoryId"],
        "referenceType": "branch",
        "referenceName": "main",
        "referenceFullName": "refs/heads/main",
        "callerUserArn": IDENTITY,
    }
    assert told == [
        {**base, "event": "referenceCreated", "commitId": first},
        {**base, "event": "referenceUpdated", "commitId": second, "oldCommitId": first},
    ]


def test_what_a_crash_left_unsaid_is_said_at_the_start(code, first, repository, repositories, announcements, told):
    """Git moved references, and the process died before the database heard of it."""
    told.clear()
    found = repositories.open(repository["repositoryId"])
    ids = [first]
    for number in range(2):
        made = commit(code, ids[-1], branch="main", putFiles=[put(f"lost{number}")])["commitId"]
        ids.append(made)
    told.clear()
    main = "refs/heads/main"
    found.set_reference(main, ids[1], ids[2], "arn:one")
    found.set_reference(main, ids[0], ids[1], "arn:two")
    found.set_reference("refs/tags/v1", ids[2], None, "arn:three")
    lost = repositories.create(str(uuid.uuid4()))  # a creation that did not come to its end
    announcements.start()
    seen = [(each["event"], each["referenceName"], each["commitId"], each["callerUserArn"]) for each in told]
    assert seen == [
        ("referenceUpdated", "main", ids[1], "arn:one"),
        ("referenceUpdated", "main", ids[0], "arn:two"),
        ("referenceCreated", "v1", ids[2], "arn:three"),
    ]
    assert told[2]["referenceType"] == "tag"
    assert not lost.path.exists()
    announcements.start()
    assert len(told) == 3


def test_a_child_that_outlived_its_server_is_waited_for(code, first, repository, repositories, announcements, told):
    found = repositories.open(repository["repositoryId"])
    second = commit(code, first, **ONE)["commitId"]
    told.clear()
    with found.writing() as lock:
        wait = "import sys; sys.stdin.read()"
        child = subprocess.Popen([sys.executable, "-c", wait], stdin=subprocess.PIPE, pass_fds=(lock,))
    announcements.start()
    assert told == []
    found.set_reference("refs/heads/main", first, second, "arn:late")
    child.stdin.close()
    child.wait()
    until(lambda: told)
    assert [each["callerUserArn"] for each in told] == ["arn:late"]


def test_a_renamed_repository_goes_on_telling(code, first, told):
    code("UpdateRepositoryName", oldName="pose", newName="poses")
    code("CreateBranch", repositoryName="poses", branchName="b", commitId=first)
    assert told[-1]["repositoryName"] == "poses"


def test_one_deleted_and_made_again_is_another(code, first, told):
    code("DeleteRepository", repositoryName="pose")
    code("CreateRepository", repositoryName="pose")
    assert code("ListBranches", repositoryName="pose")["branches"] == []
    commit(code, **ONE)
    assert len({each["repositoryId"] for each in told}) == 2


def test_nothing_that_is_asked_breaks_it(code, first):
    """Every reading operation with odd specifiers and paths: an error of AWS's, never one of ours."""
    odd = ["-", "--output=/tmp/x", "main\n", "../..", ":(top)", "\0", "@{-1}", "refs/heads/", "x" * 5000, "*", " "]
    for text, operation in itertools.product(odd, ("GetFile", "GetFolder", "GetDifferences", "ListFileCommitHistory")):
        place = {"GetFolder": "folderPath", "GetDifferences": "afterPath"}.get(operation, "filePath")
        commits = "afterCommitSpecifier" if operation == "GetDifferences" else "commitSpecifier"
        for parameters in ({place: "a.txt", commits: text}, {place: text, commits: "main"}):
            assert _status(code, operation, parameters) < 500


def _status(code, operation, parameters):
    try:
        code(operation, repositoryName="pose", **parameters)
    except AwsError as error:
        return error.status
    return 200
