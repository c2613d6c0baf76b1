"""The life of an administrator with `harborapi`, Harbor's Python client, against a gateway.

Every answer goes through the client's own models, which refuse what Harbor would not send. The
project `held` is there with the image `held/app:v1`. A section is a function marked `@section`; sections
run in their order, each cleans up behind itself. At the end the fields that the answers had are
compared with those of the models; fields.txt lists what no answer has (`-`) and what Harbor's have not
(`+`).
"""

import asyncio
import json
import os
import pathlib
import ssl
import sys
import traceback
import typing

from harborapi import HarborAsyncClient
from harborapi.exceptions import BadRequest, Conflict, Forbidden, NotFound, PreconditionFailed
from harborapi.models import (
    Access,
    Configurations,
    Label,
    ProjectMetadata,
    ProjectReq,
    QuotaUpdateReq,
    Registry,
    RegistryPing,
    RegistryUpdate,
    ReplicationFilter,
    ReplicationPolicy,
    ReplicationTrigger,
    RetentionPolicy,
    RetentionPolicyScope,
    RetentionRule,
    RetentionRuleTrigger,
    RetentionSelector,
    RobotCreate,
    RobotPermission,
    Schedule,
    ScheduleObj,
    Tag,
    UserCreationReq,
    UserGroup,
    UserProfile,
    WebhookPolicy,
    WebhookTargetObject,
)
from pydantic import BaseModel, RootModel

GATEWAY = os.environ["GATEWAY_URL"]
TARGET = os.environ["TARGET_URL"]
TRUST = ssl.create_default_context(cafile=os.environ["GATEWAY_CA"])
PASSWORD = "Walker12345"
SECTIONS = []
FIELDS = pathlib.Path(__file__).with_name("fields.txt")


def section(function):
    SECTIONS.append(function)
    return function


class Client(HarborAsyncClient):
    """Notes which fields answers have."""

    answered = {}

    def _construct_model(self, cls, data):
        self.note(cls, data)
        return super()._construct_model(cls, data)

    def note(self, model, data):
        if isinstance(data, list):
            for item in data:
                self.note(model, item)
        if not isinstance(data, dict) or not issubclass(model, BaseModel):
            return
        self.answered.setdefault(model, set()).update(data)
        for name, field in model.model_fields.items():
            for inner, held in models_in(field.annotation, data.get(field.alias or name)):
                self.note(inner, held)


def models_in(annotation, value):
    """The models that a field holds, alone, perhaps, in a list or in a map, each with its value."""
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) is dict:
        for held in value.values() if isinstance(value, dict) else ():
            yield from models_in(inner[1], held)
    elif inner:
        for one in inner:
            yield from models_in(one, value)
    elif isinstance(annotation, type):
        yield annotation, value


def differences():
    """A line for each field that answers never had, or that the models do not know."""
    for model, answered in Client.answered.items():
        if issubclass(model, RootModel):
            continue  # a map with keys of its own
        known = {field.alias or name for name, field in model.model_fields.items()}
        yield from (f"- {model.__name__}.{name}" for name in known - answered)
        yield from (f"+ {model.__name__}.{name}" for name in answered - known)


def client(user="admin", secret=os.environ["ADMIN_PASSWORD"]):
    return Client(
        url=f"{GATEWAY}/api/v2.0/", username=user, secret=secret, verify=TRUST, retry=None
    )


def last(location):
    """The id at the end of a Location."""
    return int(location.rstrip("/").rsplit("/", 1)[1])


async def refused(kind, awaitable):
    try:
        await awaitable
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was expected")


async def make_user(admin, name):
    return last(
        await admin.create_user(
            UserCreationReq(
                username=name, password=PASSWORD, email=f"{name}@example.com", realname=name
            )
        )
    )


@section
async def system(admin):
    assert await admin.ping() == "Pong"
    health = await admin.health_check()
    assert health.status == "healthy", health
    info = await admin.get_system_info()
    assert info.auth_mode == "db_auth" and info.harbor_version.startswith("v2."), info
    volumes = await admin.get_system_volume_info()
    assert volumes.storage[0].total > 0
    certificate = await admin.get_system_certificate()
    assert b"BEGIN CERTIFICATE" in bytes(certificate)
    counts = await admin.get_statistics()
    assert counts.total_project_count >= 2, counts


@section
async def users(admin):
    number = await make_user(admin, "nora")
    await refused(Conflict, make_user(admin, "nora"))
    assert (await admin.get_user(number)).username == "nora"
    assert (await admin.get_user_by_username("nora")).user_id == number
    assert "nora" in [user.username for user in await admin.get_users(query="username=~nor")]
    await admin.update_user(number, UserProfile(email="n@example.com", realname="N", comment="c"))
    assert (await admin.get_user(number)).realname == "N"
    nora = client("nora", PASSWORD)
    assert (await nora.get_current_user()).sysadmin_flag is False
    await refused(Forbidden, nora.get_users())
    await nora.set_user_password(number, "Another12345", PASSWORD)
    nora = client("nora", "Another12345")
    await admin.set_user_admin(number, True)
    assert (await nora.get_current_user()).sysadmin_flag is True
    permissions = await nora.get_current_user_permissions("/system")
    assert any(permission.action == "list" for permission in permissions)
    await admin.delete_user(number)
    await refused(NotFound, admin.get_user(number))


@section
async def projects(admin):
    private = ProjectReq(project_name="team", metadata=ProjectMetadata(public="false"))
    location = await admin.create_project(private)
    assert location.endswith("/projects/team"), "this client asks for the name in the Location"
    await refused(Conflict, admin.create_project(ProjectReq(project_name="team")))
    assert await admin.project_exists("team")
    assert not await admin.project_exists("nowhere")
    project = await admin.get_project("team")
    assert project.metadata.public == "false", project
    assert (await admin.get_project(project.project_id)).name == "team"
    await admin.update_project("team", ProjectReq(metadata=ProjectMetadata(public="true")))
    assert (await admin.get_project_metadata("team")).public == "true"
    await admin.update_project_metadata_entry("team", "public", {"public": "false"})
    assert (await admin.get_project_metadata_entry("team", "public"))["public"] == "false"
    await admin.set_project_metadata("team", ProjectMetadata(auto_scan="true"))
    await admin.delete_project_metadata_entry("team", "auto_scan")
    names = [project.name for project in await admin.get_projects(name="tea", sort="-name")]
    assert names == ["team"], names
    pages = await admin.get_projects(page_size=1)
    assert {"held", "library", "team"} <= {project.name for project in pages}, "links lead on"
    assert (await admin.get_project_summary("team")).repo_count == 0
    assert (await admin.get_project_deletable("team")).deletable is True
    assert (await admin.get_project_deletable("held")).deletable is not True
    await refused(PreconditionFailed, admin.delete_project("held"))
    await admin.delete_project("team")
    await refused(NotFound, admin.get_project("team"))


@section
async def quotas(admin):
    project = (await admin.get_project("held")).project_id
    quota = await admin.get_quota(project)
    assert quota.ref.root["name"] == "held" and quota.hard.root == {"storage": -1}, quota
    assert quota.used.root["storage"] > 0, quota
    await admin.update_quota(project, QuotaUpdateReq(hard={"storage": 1 << 30}))
    listed = await admin.get_quotas("project", str(project), sort="-used.storage")
    assert [found.hard.root["storage"] for found in listed] == [1 << 30], listed
    summary = await admin.get_project_summary("held")
    assert summary.quota.used.root == quota.used.root, summary
    assert (await admin.get_statistics()).total_storage_consumption > 0
    nothing = QuotaUpdateReq(hard={"storage": 0})
    await refused(BadRequest, admin.update_quota(project, nothing))
    await admin.update_project("held", ProjectReq(storage_limit=-1))
    assert (await admin.get_quota(project)).hard.root == {"storage": -1}


@section
async def members(admin):
    user = await make_user(admin, "mona")
    member = last(await admin.add_project_member_user("held", "mona", 3))
    await refused(Conflict, admin.add_project_member_user("held", user, 3))
    assert (await admin.get_project_member("held", member)).role_name == "guest"
    await admin.update_project_member_role("held", member, 2)
    found = await admin.get_project_members("held", entity_name="mon")
    assert [(entity.entity_name, entity.role_id) for entity in found] == [("mona", 2)], found
    mona = client("mona", PASSWORD)
    assert (await mona.get_project("held")).current_user_role_id == 2
    await refused(Forbidden, mona.add_project_member_user("held", "admin", 1))
    await admin.remove_project_member("held", member)
    await refused(Forbidden, mona.get_project("held"))
    await admin.delete_user(user)


@section
async def groups(admin):
    number = last(await admin.create_usergroup(UserGroup(group_name="devs", group_type=3)))
    await refused(Conflict, admin.create_usergroup(UserGroup(group_name="devs", group_type=3)))
    await admin.update_usergroup(number, UserGroup(group_name="developers"))
    assert (await admin.get_usergroup(number)).group_name == "developers"
    assert [group.id for group in await admin.get_usergroups(group_name="deve")] == [number]
    found = await admin.search_usergroups("DEVE")
    assert [group.group_type for group in found] == [3], found
    member = last(await admin.add_project_member_group("held", number, 2))
    shown = await admin.get_project_member("held", member)
    assert (shown.entity_type, shown.entity_name) == ("g", "developers"), shown
    await admin.delete_usergroup(number)
    await refused(NotFound, admin.get_project_member("held", member))
    await refused(NotFound, admin.get_usergroup(number))


@section
async def robots(admin):
    assert (await admin.get_permissions()).project
    pull = Access(resource="repository", action="pull")
    made = await admin.create_robot(
        RobotCreate(
            name="ci",
            level="project",
            duration=30,
            permissions=[RobotPermission(kind="project", namespace="held", access=[pull])],
        )
    )
    robot = await admin.get_robot(made.id)
    assert robot.name == made.name == "robot$held+ci" and robot.editable, robot
    robot.description, robot.disable = "builds", False
    await admin.update_robot(made.id, robot)
    project = (await admin.get_project("held")).project_id
    listed = await admin.get_robots(query=f"Level=project,ProjectID={project}")
    assert [(robot.id, robot.description) for robot in listed] == [(made.id, "builds")], listed
    fresh = await admin.refresh_robot_secret(made.id, "")
    assert fresh.secret and fresh.secret != made.secret
    machine = client(made.name, fresh.secret)
    await refused(Forbidden, machine.get_robots())
    await admin.delete_robot(made.id)
    await refused(NotFound, admin.get_robot(made.id))


@section
async def artifacts(admin):
    repositories = await admin.get_repositories("held")
    assert [repository.name for repository in repositories] == ["held/app"], repositories
    repository = await admin.get_repository("held", "app")
    assert repository.artifact_count == 1
    repository.description = "an application"
    await admin.update_repository("held", "app", repository)
    assert (await admin.get_repository("held", "app")).description == "an application"
    artifact = await admin.get_artifact("held", "app", "v1", with_label=True)
    assert artifact.digest.startswith("sha256:") and artifact.size > 0, artifact
    assert [found.digest for found in await admin.get_artifacts("held", "app")] == [artifact.digest]
    await admin.create_artifact_tag("held", "app", "v1", Tag(name="stable"))
    await refused(Conflict, admin.create_artifact_tag("held", "app", "v1", Tag(name="stable")))
    tags = await admin.get_artifact_tags("held", "app", artifact.digest, sort="name")
    assert {tag.name for tag in tags} == {"v1", "stable"}, tags
    await admin.delete_artifact_tag("held", "app", "v1", "stable")
    assert (await admin.get_artifact_accessories("held", "app", "v1")) == []
    assert await admin.get_artifact_build_history("held", "app", "v1") is not None
    await admin.copy_artifact("held", "copies/app", "held/app:v1")
    assert (await admin.get_artifact("held", "copies/app", "v1")).digest == artifact.digest
    await admin.delete_artifact("held", "copies/app", artifact.digest)
    await admin.delete_repository("held", "copies/app")
    await refused(NotFound, admin.get_repository("held", "copies/app"))
    found = await admin.search("app")
    assert [match.repository_name for match in found.repository] == ["held/app"], found


@section
async def labels(admin):
    project = (await admin.get_project("held")).project_id
    everywhere = last(await admin.create_label(Label(name="tested", color="#00FF00", scope="g")))
    await refused(Conflict, admin.create_label(Label(name="tested", scope="g")))
    own = Label(name="ours", scope="p", project_id=project)
    own = last(await admin.create_label(own))
    await admin.update_label(everywhere, Label(name="checked", color="#00FF00", scope="g"))
    assert (await admin.get_label(everywhere)).name == "checked"
    assert [label.id for label in await admin.get_labels(scope="g", name="check")] == [everywhere]
    listed = await admin.get_labels(scope="p", project_id=project)
    assert [label.id for label in listed] == [own], listed
    for label in (everywhere, own):
        await admin.add_artifact_label("held", "app", "v1", Label(id=label))
    await refused(Conflict, admin.add_artifact_label("held", "app", "v1", Label(id=own)))
    artifact = await admin.get_artifact("held", "app", "v1", with_label=True)
    assert {label.name for label in artifact.labels} == {"checked", "ours"}, artifact
    await admin.delete_artifact_label("held", "app", "v1", own)
    artifact = await admin.get_artifact("held", "app", "v1", with_label=True)
    assert [label.name for label in artifact.labels] == ["checked"], artifact
    for label in (everywhere, own):
        await admin.delete_label(label)
        await refused(NotFound, admin.get_label(label))


@section
async def webhooks(admin):
    kinds = await admin.get_webhook_supported_events("held")
    assert "PUSH_ARTIFACT" in [str(kind.root) for kind in kinds.event_type], kinds
    target = WebhookTargetObject(type="http", address="https://8.8.8.8/hook", auth_header="secret")
    policy = WebhookPolicy(
        name="tell", event_types=["DELETE_ARTIFACT"], targets=[target], enabled=True
    )
    number = last(await admin.create_webhook_policy("held", policy))
    await refused(Conflict, admin.create_webhook_policy("held", policy))
    kept = await admin.get_webhook_policy("held", number)
    assert kept.targets[0].address == "https://8.8.8.8/hook" and kept.enabled, kept
    kept.description = "of what goes"
    await admin.update_webhook_policy("held", number, kept)
    listed = await admin.get_webhook_policies("held")
    assert [policy.description for policy in listed] == ["of what goes"], listed
    assert [one.policy_name for one in await admin.get_webhook_policy_last_trigger("held")] in (
        [],
        ["tell"],
    )
    assert await admin.get_webhook_jobs("held", number) == []
    await admin.delete_webhook_policy("held", number)
    await refused(NotFound, admin.get_webhook_policy("held", number))


@section
async def replication(admin):
    assert "docker-registry" in await admin.get_registry_adapters()
    assert await admin.get_registry_providers()
    await admin.check_registry_status(RegistryPing(type="docker-registry", url=TARGET))
    away = RegistryPing(type="docker-registry", url="http://127.0.0.1:9")
    await refused(BadRequest, admin.check_registry_status(away))
    target = last(
        await admin.create_registry(Registry(name="mirror", type="docker-registry", url=TARGET))
    )
    await admin.update_registry(target, RegistryUpdate(description="where copies are"))
    assert (await admin.get_registry(target)).description == "where copies are"
    assert [found.id for found in await admin.get_registries(name="mirror")] == [target]
    assert "manual" in (await admin.get_registry_info(target)).supported_triggers
    policy = ReplicationPolicy(
        name="copies",
        dest_registry=Registry(id=target),
        filters=[ReplicationFilter(type="name", value="held/**")],
        trigger=ReplicationTrigger(type="manual"),
        override=True,
        enabled=True,
    )
    number = last(await admin.create_replication_policy(policy))
    await refused(PreconditionFailed, admin.delete_registry(target))
    kept = await admin.get_replication_policy(number)
    assert kept.dest_registry.id == target and kept.filters[0].value == "held/**", kept
    kept.description = "all that is held"
    await admin.update_replication_policy(number, kept)
    listed = await admin.get_replication_policies(name="copies")
    assert [policy.description for policy in listed] == ["all that is held"], listed
    run = last(await admin.start_replication(number))
    for _ in range(600):
        execution = await admin.get_replication(run)
        if execution.status != "InProgress":
            break
        await asyncio.sleep(0.1)
    assert execution.status == "Succeed", execution
    assert run in [found.id for found in await admin.get_replications(policy_id=number)]
    tasks = await admin.get_replication_tasks(run)
    assert tasks and all(task.status == "Succeed" for task in tasks), tasks
    assert await admin.get_replication_task_log(run, tasks[0].id)
    await admin.stop_replication(run)
    await admin.delete_replication_policy(number)
    await admin.delete_registry(target)


@section
async def garbage(admin):
    daily = Schedule(
        schedule=ScheduleObj(type="Daily", cron="0 0 2 * * *"),
        parameters={"delete_untagged": True, "workers": 2},
    )
    await admin.create_gc_schedule(daily)
    kept = await admin.get_gc_schedule()
    assert kept.schedule.type.value == "Daily" and kept.schedule.cron == "0 0 2 * * *", kept
    await admin.update_gc_schedule(Schedule(schedule=ScheduleObj(type="None")))
    dry = Schedule(
        schedule=ScheduleObj(type="Manual"), parameters={"delete_untagged": True, "dry_run": True}
    )
    run = last(await admin.create_gc_schedule(dry))
    for _ in range(600):
        shown = await admin.get_gc_job(run)
        if shown.job_status not in ("Pending", "Running"):
            break
        await asyncio.sleep(0.1)
    assert shown.job_status == "Success" and shown.job_name == "GARBAGE_COLLECTION", shown
    outcome = json.loads(shown.job_parameters)
    assert outcome["dry_run"] and outcome["freed_space"] == 0, outcome
    assert run in [found.id for found in await admin.get_gc_jobs()]
    assert "dry run" in await admin.get_gc_log(run, as_list=False)


@section
async def jobs(admin):
    """The client has no methods for these; its own transport is used."""
    pools = await admin.get("/jobservice/pools")
    assert pools and pools[0]["concurrency"] > 0, pools
    workers = await admin.get(f"/jobservice/pools/{pools[0]['worker_pool_id']}/workers")
    assert len(workers) == pools[0]["concurrency"], workers
    assert await admin.get("/jobservice/queues")
    assert await admin.get("/schedules") is not None
    assert (await admin.get("/schedules/all/paused"))["paused"] is False


@section
async def retention(admin):
    project = await admin.get_project("held")
    everything = [RetentionSelector(kind="doublestar", decoration="matches", pattern="**")]
    everywhere = [RetentionSelector(kind="doublestar", decoration="repoMatches", pattern="**")]
    policy = RetentionPolicy(
        algorithm="or",
        rules=[
            RetentionRule(
                action="retain",
                template="always",
                params={},
                tag_selectors=everything,
                scope_selectors={"repository": everywhere},
            )
        ],
        trigger=RetentionRuleTrigger(kind="Schedule", settings={"cron": ""}),
        scope=RetentionPolicyScope(level="project", ref=project.project_id),
    )
    number = last(await admin.create_retention_policy(policy))
    assert await admin.get_project_retention_id("held") == number
    kept = await admin.get_retention_policy(number)
    assert kept.rules[0].template == "always", kept
    assert (await admin.get_retention_metadata()).templates
    run = last(await admin.start_retention_execution(number, dry_run=False))
    for _ in range(300):
        runs = await admin.get_retention_executions(number)
        if runs[0].status != "Running":
            break
        await asyncio.sleep(0.1)
    assert (runs[0].id, runs[0].status) == (run, "Success"), runs
    tasks = await admin.get_retention_tasks(number, run)
    assert [(task.total, task.retained) for task in tasks] == [(1, 1)], tasks
    assert await admin.get_retention_execution_task_log(number, run, tasks[0].id)
    await admin.delete_retention_policy(number)


@section
async def audit(admin):
    user = await make_user(admin, "audited")
    await admin.delete_user(user)
    for _ in range(100):
        entries = await admin.get_audit_logs(query="resource_type=user,operation=delete", limit=1)
        if entries and entries[0].resource == "audited":
            break
        await asyncio.sleep(0.1)
    assert entries[0].username == "admin" and entries[0].op_time, entries
    events = await admin.get("/auditlog-exts/events")
    assert {"event_type": "pull_artifact"} in events, events
    await refused(BadRequest, admin.update_config(Configurations(skip_audit_log_database=True)))


@section
async def purge(admin):
    assert (await admin.get_purge_job_schedule()).schedule is None
    parameters = {
        "audit_retention_hour": 168,
        "dry_run": True,
        "include_event_types": "create_artifact,delete_artifact,pull_artifact",
    }

    def wish(kind, cron=None):
        return Schedule(parameters=parameters, schedule=ScheduleObj(type=kind, cron=cron))

    await admin.create_purge_job_schedule(wish("Daily", "0 0 0 * * *"))
    schedule = await admin.get_purge_job_schedule()
    assert schedule.schedule.type.value == "Daily" and schedule.schedule.next_scheduled_time
    await admin.update_purge_job_schedule(wish("Custom", "0 30 3 * * *"))
    assert (await admin.get_purge_job_schedule()).schedule.cron == "0 30 3 * * *"
    await refused(BadRequest, admin.update_purge_job_schedule(wish("Daily", "0 0 * * *")))
    await admin.update_purge_job_schedule(wish("None"))
    assert (await admin.get_purge_job_schedule()).schedule is None
    number = last(await admin.create_purge_job_schedule(wish("Manual")))
    for _ in range(300):
        run = await admin.get_purge_job(number)
        if run.job_status not in ("Pending", "Running"):
            break
        await asyncio.sleep(0.1)
    assert (run.job_status, run.job_name) == ("Success", "PURGE_AUDIT_LOG"), run
    assert "would delete 0 entries" in await admin.get_purge_job_log(number)
    assert [found.id for found in await admin.get_purge_job_history()] == [number]
    await admin.stop_purge_job(number)


async def main():
    failed = []
    for run in SECTIONS:
        try:
            await run(client())
            print(f"{run.__name__}: ok")
        except Exception:
            failed.append(run.__name__)
            print(f"{run.__name__}: failed")
            traceback.print_exc(file=sys.stdout)
    found, expected = sorted(set(differences())), FIELDS.read_text().splitlines()
    for line in sorted(set(found) ^ set(expected)):
        print(f"{'not in' if line in found else 'only in'} {FIELDS.name}: {line}")
        failed.append(line)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


asyncio.run(main())
