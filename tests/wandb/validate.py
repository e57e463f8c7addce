"""What the SDK's own code says to launch configs and queue configs: null, or why it refuses."""

import asyncio
import copy
import json
import sys

from wandb.sdk.launch import utils
from wandb.sdk.launch.agent.config import AgentConfig
from wandb.sdk.launch.builder.kaniko_builder import KanikoBuilder


def said(work, *arguments):
    try:
        work(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def build(builder):
    """The Job of a build, as the builder makes it of its `kaniko-config`."""
    kaniko = KanikoBuilder.__new__(KanikoBuilder)
    kaniko.environment = kaniko.registry = None
    kaniko.build_context_store = builder["build-context-store"]
    kaniko.build_job_name = "build"
    kaniko.secret_name = kaniko.secret_key = ""
    kaniko.image = builder["kaniko-image"]
    kaniko.kaniko_config = copy.deepcopy(builder["kaniko-config"])
    made = asyncio.run(
        kaniko._create_kaniko_job("build", builder["destination"], "image:tag", "s3://context", None, None)
    )
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == builder["kaniko-image"], container
    resources = builder["kaniko-config"]["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert container["resources"] == resources, container


def agent(config):
    AgentConfig(**copy.deepcopy(config))
    if config.get("builder", {}).get("type") == "kaniko":
        build(config["builder"])


def queue(config):
    validate = getattr(utils, "validate_launch_resource_args", None)
    if validate is not None:
        validate(config["resource_args"])



given = json.load(sys.stdin)
answer = {
    "agents": {name: said(agent, config) for name, config in given["agents"].items()},
    "queues": {name: said(queue, config) for name, config in given["queues"].items()},
}
sys.stdout.write(json.dumps(answer))
