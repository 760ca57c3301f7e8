"""Images: what the containers of jobs can be started from on this machine."""

from __future__ import annotations

from starlette.responses import Response

from modelwright.studio.view import Route, View

PER_PAGE = 50


def routes() -> list[Route]:
    return [("/images", ("GET",), show)]


async def show(view: View) -> Response:
    found = await view.call("DescribeRepositories", "ecr", maxResults=PER_PAGE, nextToken=view.argument("page") or None)
    images = []
    for repository in found["repositories"]:
        name = repository["repositoryName"]
        details = await view.call("DescribeImages", "ecr", repositoryName=name, maxResults=100)
        images += [
            {
                "uri": f"{repository['repositoryUri']}{name}",
                "digest": image["imageDigest"],
                "size": image.get("imageSizeInBytes"),
                "pushed": image.get("imagePushedAt"),
            }
            for image in details["imageDetails"]
            for name in [f":{tag}" for tag in image.get("imageTags", [])] or [f"@{image['imageDigest']}"]
        ]
    images.sort(key=lambda image: -(image["pushed"] or 0))
    return view.page("images.html", images=images, next=found.get("nextToken"))
