"""What the pods of each stage are given: resources, time, Secrets and settings."""

from dataclasses import dataclass, field
from datetime import timedelta

OBJECT_STORE = ("AWS_ENDPOINT_URL", "AWS_REGION", "LOOPLINE_BUCKET")
S3 = {"AWS_ACCESS_KEY_ID": "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY": "AWS_SECRET_ACCESS_KEY"}
MLFLOW = {
    "MLFLOW_TRACKING_USERNAME": "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD": "MLFLOW_TRACKING_PASSWORD",
}
GIT = {"username": "LOOPLINE_GIT_USERNAME", "token": "LOOPLINE_GIT_TOKEN"}
REDIS = {"password": "LOOPLINE_ONLINE_STORE_PASSWORD"}


@dataclass(frozen=True)
class StagePods:
    """What the pods of one stage are given.

    Attributes:
        cpu: request and limit, as Kubernetes writes them.
        memory: request and limit.
        timeout: a pod that runs longer is ended.
        secrets: key to environment variable, by name of the Secret.
        environment: further variables.
        optional: key to environment variable of Secrets that need not be there.
    """

    cpu: tuple[str, str]
    memory: tuple[str, str]
    timeout: timedelta
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    optional: dict[str, dict[str, str]] = field(default_factory=dict)


STAGES = {
    "data": StagePods(("500m", "2"), ("1Gi", "4Gi"), timedelta(hours=1), {"loopline-s3": S3}),
    "features": StagePods(
        ("1", "2"),
        ("2Gi", "8Gi"),
        timedelta(hours=2),
        {"loopline-s3": S3, "loopline-redis": REDIS},
        {"LOOPLINE_ONLINE_STORE": "redis://redis:6379"},  # a Service, which may lead out of the cluster
    ),
    "training": StagePods(
        ("1", "4"), ("2Gi", "8Gi"), timedelta(hours=12), {"loopline-s3": S3, "loopline-mlflow": MLFLOW}
    ),
    "validation": StagePods(("500m", "2"), ("1Gi", "4Gi"), timedelta(hours=1)),
    "registry": StagePods(("250m", "1"), ("512Mi", "2Gi"), timedelta(minutes=15), {"loopline-mlflow": MLFLOW}),
    "inference": StagePods(("1", "2"), ("2Gi", "4Gi"), timedelta(hours=6), {"loopline-s3": S3}),
    "deployment": StagePods(
        ("250m", "1"),
        ("512Mi", "2Gi"),
        timedelta(hours=24),  # of which a run waits for evidence as long as its parameter `wait` says
        {"loopline-s3": S3},
        optional={"loopline-git": GIT},  # where a release is a commit, to a repository that asks who pushes
    ),
}
